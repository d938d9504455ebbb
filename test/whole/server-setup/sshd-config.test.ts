import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld } from '../../support/server-world.ts';
import { forwards, printed, reload, runScript, setUp, undo, untilListening, USER } from './fixture.ts';

const LISTENER = '8080:localhost:2022';
const MAIN = '/etc/ssh/sshd_config';
const DROP_IN = `/etc/ssh/sshd_config.d/00-tunneld-${USER}.conf`;
const INCLUDE = 'Include /etc/ssh/sshd_config.d/*.conf\n';
const OPPOSITE = 'X11Forwarding yes\nAllowTcpForwarding no\nGatewayPorts yes\nForceCommand date\nAllowUsers root\n';

/** Files of sshd that people have, each with the file that our block is to go into. */
const FILES: readonly {
  readonly name: string;
  readonly config: string;
  readonly dropIns?: Readonly<Record<string, string>>;
  readonly goesTo: string;
}[] = [
  {
    name: 'an earlier drop-in that sets the opposite for all',
    config: INCLUDE,
    dropIns: { '00-a.conf': OPPOSITE },
    goesTo: DROP_IN,
  },
  {
    name: 'a later drop-in with a Match for everybody',
    config: INCLUDE,
    dropIns: { '50-cloud.conf': `Match User *\n  ${OPPOSITE.replaceAll('\n', '\n  ')}\n` },
    goesTo: DROP_IN,
  },
  {
    name: 'a Match as the last block of the main file',
    config: `${INCLUDE}Match User *\n  AllowTcpForwarding no\n`,
    goesTo: DROP_IN,
  },
  { name: 'an Include at the end of the file', config: `${OPPOSITE}${INCLUDE}`, goesTo: DROP_IN },
  { name: 'an Include written otherwise', config: 'include = "sshd_config.d/*.conf" # all\n', goesTo: DROP_IN },
  {
    name: 'an Include below a Match',
    config: `${OPPOSITE}Match User root\n  X11Forwarding no\n${INCLUDE}`,
    goesTo: MAIN,
  },
  { name: 'no Include', config: OPPOSITE, goesTo: MAIN },
  { name: 'no Include, and no line break at the end', config: OPPOSITE.trimEnd(), goesTo: MAIN },
  {
    name: 'no Include, and a Match for everybody',
    config: `${OPPOSITE}# All:\nMatch all\n  ForceCommand id\n`,
    goesTo: MAIN,
  },
  { name: 'an Include of other files', config: `${INCLUDE.replace('.d/', '.other/')}${OPPOSITE}`, goesTo: MAIN },
];

test('holds for this user alone, and goes without a trace, whatever files of sshd there are', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  const effective = (user: string) =>
    world.run(['/usr/sbin/sshd', '-T', '-C', `user=${user},host=a,addr=192.0.2.7,laddr=192.0.2.1,lport=22`]).stdout;
  for (const { name, config, dropIns = {}, goesTo } of FILES)
    await t.test(`is so when there is ${name}`, async () => {
      world.run(['sh', '-c', 'rm -f /etc/ssh/sshd_config.d/*']);
      for (const [file, text] of Object.entries({ sshd_config: config, ...dropIns }))
        writeFileSync(join(world.dir, 'etc/ssh', file === 'sshd_config' ? '' : 'sshd_config.d', file), text);
      await reload(world);
      const before = world.snapshot();
      const ofRoot = effective('root');
      await setUp(world);
      assert.equal(goesTo === MAIN, world.read(DROP_IN) === null);
      assert.match(world.read(goesTo)!, new RegExp(`^Match User ${USER}$`, 'm'));
      assert.equal(forwards(world, LISTENER), 'granted');
      assert.equal(forwards(world, '8081:localhost:2022'), 'refused');
      assert.doesNotMatch(world.ssh(`${USER}@server`, 'id').stdout, /uid/);
      assert.equal(effective('root'), ofRoot);
      const after = world.snapshot();
      await setUp(world);
      assert.deepEqual(world.snapshot(), after);
      await undo(world);
      assert.deepEqual(world.snapshot(), before);
    });
});

test('keeps what was added to the main file later when it is undone', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, { config: 'X11Forwarding yes\n' });
  await untilListening(world);
  await setUp(world);
  // Port is no option of a Match block: sshd would not start with it in ours.
  world.run(['sh', '-c', `printf 'Port 22\\nPermitRootLogin no\\n' >>${MAIN}`]);
  await setUp(world);
  assert.match(world.run(['/usr/sbin/sshd', '-T']).stdout, /^permitrootlogin no$/m);
  await undo(world);
  assert.equal(world.read(MAIN), 'X11Forwarding yes\nPort 22\nPermitRootLogin no\n');
});

test('keeps a block each in the main file for two users, and takes one without the other', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, { config: 'X11Forwarding yes' });
  await untilListening(world);
  const before = world.snapshot();
  const listeners = { one: LISTENER, two: '8082:localhost:2022' };
  const run = async (user: 'one' | 'two', ...options: string[]) => {
    const forward = `remoteForward: ${listeners[user]}`;
    const { code, stderr } = runScript(world, await printed(world, ['server-setup', ...options], forward, user));
    assert.equal(code, 0, stderr);
    await untilListening(world);
  };
  await run('one');
  const withOne = world.snapshot();
  await run('two');
  for (const user of ['one', 'two'] as const) assert.equal(forwards(world, listeners[user], user), 'granted');
  await run('two', '--undo');
  assert.deepEqual(world.snapshot(), withOne);
  await run('two');
  await run('one', '--undo');
  assert.equal(forwards(world, listeners.two, 'two'), 'granted');
  assert.equal(forwards(world, '8081:localhost:22', 'two'), 'refused');
  await run('two', '--undo');
  assert.equal(world.read(MAIN)!.trimEnd(), 'X11Forwarding yes');
  assert.deepEqual(Object.keys(world.snapshot()), Object.keys(before));
});

test('puts all back, and says what is wrong, when an earlier block decides otherwise', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, {
    config: INCLUDE,
    dropIns: { '00-everybody.conf': `Match User *\n  ForceCommand date\n  GatewayPorts yes\n` },
  });
  await untilListening(world);
  const before = world.snapshot();
  const { code, stderr } = runScript(world, await printed(world, ['server-setup']));
  assert.equal(code, 1);
  assert.match(stderr, /sshd would apply "forcecommand date" to logins from 192\.0\.2\.1, not "forcecommand false"/);
  assert.match(stderr, /all changes to this server were reverted/);
  assert.deepEqual(world.snapshot(), before);
});

test('stops before it changes anything when sshd does not accept the configuration', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, { config: INCLUDE });
  await untilListening(world);
  world.run(['sh', '-c', `echo NoSuchOption yes >>${MAIN}`]);
  const broken = world.snapshot();
  const first = runScript(world, await printed(world, ['server-setup']));
  assert.equal(first.code, 1);
  assert.match(first.stderr, /fix the errors above first/);
  assert.deepEqual(world.snapshot(), broken);

  // The same where it was set up before: what is there stays.
  world.run(['sed', '-i', '/NoSuchOption/d', MAIN]);
  await setUp(world);
  world.run(['sh', '-c', `echo NoSuchOption yes >>${MAIN}`]);
  const brokenLater = world.snapshot();
  for (const options of [[], ['--undo']]) {
    const { code, stderr } = runScript(world, await printed(world, ['server-setup', ...options]));
    assert.equal(code, 1);
    assert.match(stderr, /fix the errors above first[\s\S]*were reverted/);
    assert.deepEqual(world.snapshot(), brokenLater);
  }
});

test('puts everything back when sshd does not reload, and reports what cannot be put back', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, { config: INCLUDE, prepare: 'mkdir -p /run/systemd/system /run/bin' });
  await untilListening(world);
  const before = world.snapshot();
  const run = async (...options: string[]) =>
    world.run(['sh', '-c', 'PATH=/run/bin:/run/fast:$PATH sh'], await printed(world, ['server-setup', ...options]));
  const install = (name: string, text: string) =>
    world.run(['sh', '-c', 'cat >"$0" && chmod +x "$0"', `/run/bin/${name}`], `#!/bin/sh\n${text}\n`);
  // A system that manages sshd itself, and cannot reload it.
  install('systemctl', '[ "$1" = --quiet ]');
  const first = await run();
  assert.equal(first.code, 1);
  assert.match(first.stderr, /sshd could not be reloaded/);
  assert.match(first.stderr, /reload it by hand[\s\S]*all changes to this server were reverted/);
  assert.deepEqual(world.snapshot(), before);

  install('systemctl', '[ "$1" = --quiet ]');
  install('userdel', 'echo no >&2; exit 1');
  const second = await run();
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^no$[\s\S]*not all changes could be reverted/m);
  assert.equal(world.read(DROP_IN), null);
  world.run(['rm', '/run/bin/userdel', '/run/bin/systemctl', '-r', '/run/systemd']);
  await undo(world);
  assert.deepEqual(world.snapshot(), before);
});

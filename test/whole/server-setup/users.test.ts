import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld } from '../../support/server-world.ts';
import { until } from '../../support/until.ts';
import { forwards, printed, runScript, setUp, undo, untilListening, USER } from './fixture.ts';

const LISTENER = '8080:localhost:2022';

test('leaves a user alone that was there before, or that another device logs in as', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const person = (name: string, shell: string, password: string) =>
    `useradd --create-home --home-dir /var/lib/${name} --shell ${shell} --password '${password}' ${name}`;
  const world = await startServerWorld(t, {
    prepare: [
      person('admin1', '/bin/sh', '!'),
      person('admin2', '/usr/sbin/nologin', '$6$salt$hash'),
      person('open', '/usr/sbin/nologin', ''),
      person('device', '/usr/sbin/nologin', '*'),
      'mkdir /var/lib/device/.ssh',
      'printf "# a comment\\n\\nssh-ed25519 AAAAother other\\n" >/var/lib/device/.ssh/authorized_keys',
    ].join('\n'),
  });
  await untilListening(world);
  const before = world.snapshot();
  const reasons: Readonly<Record<string, RegExp>> = {
    root: /root is root/,
    admin1: /has a shell/,
    admin2: /has a password/,
    open: /password of the user \S+ is empty/,
    device: /authorized_keys holds other keys/,
  };
  for (const [user, reason] of Object.entries(reasons)) {
    const { code, stderr } = runScript(world, await printed(world, ['server-setup'], undefined, user));
    assert.equal(code, 1);
    assert.match(stderr, reason);
    assert.match(stderr, /all changes to this server were reverted/);
    assert.deepEqual(world.snapshot(), before);
  }

  await setUp(world);
  const used = world.snapshot();
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', `${world.dir}/other`]);
  const other = await printed({ dir: world.dir, key: `${world.dir}/other` }, ['server-setup']);
  const { code, stderr } = runScript(world, other);
  assert.equal(code, 1);
  assert.match(stderr, /set up for other keys/);
  assert.deepEqual(world.snapshot(), used);
  assert.equal(forwards(world, LISTENER), 'granted');

  // What one was promised, another is not.
  for (const listen of ['localhost:8080', '*:8080', '127.0.0.1:8080', '192.0.2.1:8080']) {
    const script = await printed(world, ['server-setup'], `remoteForward: "${listen}:localhost:2022"`, 'second');
    const refused = runScript(world, script);
    assert.equal(refused.code, 1, listen);
    assert.match(
      refused.stderr,
      new RegExp(
        `port 8080 of this server is reserved for the user ${USER} \\(permitlisten in /etc/ssh/authorized_keys\\.d/${USER}\\)`,
      ),
    );
    assert.deepEqual(world.snapshot(), used);
  }
  const free = await printed(world, ['server-setup'], 'remoteForward: 18080:localhost:2022', 'second');
  assert.equal(runScript(world, free).code, 0);
});

test('ends the manager that systemd runs for the user when it is undone while a connection is open', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  await setUp(world);
  // What is no sshd of the user's, and ends when logind is asked.
  const logind = `#!/bin/sh\n[ "$*" = "terminate-user ${USER}" ] && exec pkill -U ${USER} -x sleep\n`;
  assert.equal(world.run(['sh', '-c', 'cat >/run/fast/loginctl && chmod +x /run/fast/loginctl'], logind).code, 0);
  const manager = world.spawn(['setpriv', '--reuid', USER, '--clear-groups', '/usr/bin/sleep', '600'], {
    stdio: 'ignore',
  });
  t.after(() => manager.kill());
  const runs = () => world.run(['pgrep', '-U', USER, '-x', 'sleep']).code === 0;
  await until(runs, { what: 'the process of the user' });
  const { stdout } = await undo(world);
  assert.match(stdout, /undone/);
  assert.equal(world.run(['id', USER]).code, 1);
});

test('lets a locked user without a shell in by key, and locks him again when it is undone', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, {
    prepare: `useradd --system --no-create-home --shell /usr/sbin/nologin --password '!' ${USER}; chage -d 19000 ${USER}`,
  });
  await untilListening(world);
  const before = world.snapshot();
  const shadow = () => new RegExp(`^${USER}:([^:]*):`, 'm').exec(world.read('/etc/shadow')!)?.[1];
  assert.equal(shadow(), '!');
  await setUp(world);
  assert.equal(shadow(), '*');
  assert.equal(forwards(world, LISTENER), 'granted');

  // The trap: sshd takes the account for locked, and the key with it.
  world.run(['usermod', '--password', '!', USER]);
  assert.match(world.ssh('-N', `${USER}@server`).stderr, /Permission denied/);

  await undo(world);
  assert.equal(shadow(), '!');
  assert.deepEqual(world.snapshot(), before);

  // An account without a password would be the worst of all.
  await setUp(world);
  world.run(['sh', '-c', ': >"$0"', `/var/lib/tunneld-server/${USER}/password-was`]);
  assert.match((await undo(world)).stdout, /stays unlocked, without a usable password \(\*\): what it had was lost/);
  assert.equal(shadow(), '*');
});

test('lets the tunnel in when sshd has lists of users and groups, or says what may keep it out', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, {
    config: 'AllowUsers somebody\nAllowGroups somebody limited\nPubkeyAuthentication no\nDisableForwarding yes\n',
  });
  await untilListening(world);
  assert.match(
    (await setUp(world)).stdout,
    /note: sshd_config has "allowgroups somebody", which applies to logins of limited/,
  );
  assert.equal(forwards(world, LISTENER), 'granted');
});

test('makes users otherwise on macOS, where nothing needs a reload', async (t) => {
  if (!mayBuildNetworks(t)) return;
  // No Mac is here: these stand for its programs, and make and remove the user that the script asks for.
  const dscl = `#!/bin/sh
[ "$1" = . ] || exit 1
folder=/run/dscl$3
case $2 in
  -list) cut -d : -f 1,3 /etc/passwd | tr : ' ' ;;
  -read) [ -d "$folder" ] ;;
  -delete) rm -r "$folder" && userdel "$(basename "$3")" ;;
  -create)
    mkdir -p "$folder"
    [ $# -gt 3 ] || exit 0
    printf %s "$5" >"$folder/$4"
    [ "$4" != Password ] || useradd --no-create-home --no-user-group --uid "$(cat "$folder/UniqueID")" \
      --home-dir "$(cat "$folder/NFSHomeDirectory")" --shell "$(cat "$folder/UserShell")" --password "$5" "$(basename "$3")"
    ;;
  *) exit 1 ;;
esac
`;
  const world = await startServerWorld(t, {
    config: 'Include /etc/ssh/sshd_config.d/*\n',
    prepare: 'mkdir -p /run/bin /run/dscl/Groups/com.apple.access_ssh',
  });
  await untilListening(world);
  const install = (name: string, text: string) =>
    world.run(['sh', '-c', 'cat >"$0" && chmod +x "$0"', `/run/bin/${name}`], text);
  install('dscl', dscl);
  install('dseditgroup', '#!/bin/sh\necho "$@" >>/run/groups\n');
  install('launchctl', '#!/bin/sh\nexit 1\n');
  install('pkill', '#!/bin/sh\n');
  const run = async (...options: string[]) => {
    const script = await printed(world, ['server-setup', '--for', 'macos', ...options]);
    const ran = world.run(['sh', '-c', 'PATH=/run/bin:/run/fast:$PATH sh'], script);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout;
  };
  const before = world.snapshot();
  assert.match(await run(), /Remote Login is off/);
  assert.match(world.read('/etc/passwd')!, /^limited:x:300:.*:\/var\/empty:\/usr\/bin\/false$/m);
  const after = world.snapshot();
  assert.match(await run(), /nothing was changed/);
  assert.deepEqual(world.snapshot(), after);
  // Here sshd is not started for each connection.
  world.run(['sh', '-c', 'kill -HUP $(cat /run/sshd.pid)']);
  await untilListening(world);
  assert.equal(forwards(world, LISTENER), 'granted');
  assert.equal(forwards(world, '8081:localhost:22'), 'refused');
  await run('--undo');
  assert.equal(
    world.run(['cat', '/run/groups']).stdout,
    '-o edit -a limited -t user com.apple.access_ssh\n-o edit -d limited -t user com.apple.access_ssh\n',
  );
  const { '/var/db': _, ...rest } = world.snapshot();
  assert.deepEqual(rest, before);
});

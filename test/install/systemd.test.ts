import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { checkAccount, MADE_BY_US } from '../../src/install/steps/accounts.ts';
import { activationSteps } from '../../src/install/systemd/activation.ts';
import { checkFiles, ownershipSteps } from '../../src/install/systemd/config-files.ts';
import { systemManager, systemdVersion, unitState } from '../../src/install/systemd/manager.ts';
import { CONFIG, serviceEnvironment } from '../../src/install/systemd/service-paths.ts';
import { filesOfProgram, whyUnreachable } from '../../src/install/systemd/reachable.ts';
import { planRemoval } from '../../src/install/plan-removal.ts';
import type { Runner } from '../../src/install/steps/run-program.ts';
import { tempDir } from '../support/until.ts';

const service = serviceEnvironment(systemEnvironment());

test('refuses a program when others cannot read it, or when it lies where the sandbox has nothing', async () => {
  const modes: Readonly<Record<string, number>> = {
    '/': 0o755,
    '/usr': 0o755,
    '/usr/bin': 0o755,
    '/usr/bin/node': 0o755,
    '/usr/bin/closed': 0o750,
    '/opt': 0o755,
    '/opt/mine': 0o710,
    '/opt/mine/node': 0o755,
  };
  const why = (path: string) => whyUnreachable(path, (at) => Promise.resolve(modes[at] ?? null));
  assert.equal(await why('/usr/bin/node'), null);
  assert.match((await why('/usr/bin/closed')) ?? '', /is not readable by other users \(mode 0750\)/);
  assert.match((await why('/opt/mine/node')) ?? '', /\/opt\/mine is closed to other users \(mode 0710\)/);
  assert.match((await why('/usr/bin/none')) ?? '', /does not exist/);
  for (const path of ['/home/pi/.nvm/node', '/root/node', '/tmp/node', '/var/tmp/node', '/run/user/1/node'])
    assert.match((await why(path)) ?? '', /which the service cannot see/);
});

test('counts among the files of the program what makes them CommonJS', async (t) => {
  const dist = await tempDir(t);
  const script = join(dist, 'cli.js');
  assert.deepEqual(await filesOfProgram(script), [script]); // from the sources
  mkdirSync(join(dist, 'chunks'));
  writeFileSync(join(dist, 'chunks/a.js'), '');
  assert.deepEqual(await filesOfProgram(script), [script, join(dist, 'package.json'), join(dist, 'chunks/a.js')]);
});

test('hands files of the configuration to whom they must belong, and refuses homes', async () => {
  const config = await parseConfig(
    `tunnels:
  a:
    host: h
    identityFile: [/etc/tunneld/a.key, /etc/tunneld/missing, ~/state.key, /srv/key]
    passphraseFile: /etc/tunneld/words
    userKnownHostsFile: [/var/lib/tunneld/known_hosts, /etc/tunneld/known_hosts, /srv/known]
    proxy: socks5://me@p:1080
    proxyPasswordFile: /etc/tunneld/proxy
    remoteForward: 8080:localhost:22
  b: { host: i, remoteForward: "8081:localhost:22" }
`,
    CONFIG,
    service,
  );
  const exists = (path: string) => !path.includes('missing');
  const steps = ownershipSteps(config, exists).map((step) =>
    'mode' in step ? `${step.path} ${step.owner}:${step.group} ${step.mode.toString(8)}` : '',
  );
  assert.deepEqual(steps, [
    '/etc/tunneld/a.key root:root 600',
    '/var/lib/tunneld/state.key tunneld:tunneld 600',
    '/etc/tunneld/words root:root 600',
    '/etc/tunneld/proxy root:root 600',
    '/var/lib/tunneld/known_hosts tunneld:tunneld 600',
    '/etc/tunneld/known_hosts root:tunneld 640',
    '/var/lib/tunneld/.ssh/known_hosts tunneld:tunneld 600',
    '/etc/tunneld/a.key-cert.pub root:root 644',
    '/var/lib/tunneld/last-good.yaml tunneld:tunneld 600',
    '/var/lib/tunneld/source-ports.json tunneld:tunneld 600',
    '/var/lib/tunneld/listeners.json tunneld:tunneld 600',
  ]);
  assert.match(checkFiles(config, exists).join('\n'), /^\/etc\/tunneld\/missing, named in .*, does not exist/);
  const homes = await parseConfig(
    'tunnels: { a: { host: h, identityFile: /home/pi/.ssh/id, remoteForward: "8080:localhost:22" } }',
    CONFIG,
    service,
  );
  assert.deepEqual(
    checkFiles(homes, () => false).map((note) => note.split(',')[0]),
    ['/home/pi/.ssh/id'],
    'what is not there hides from nobody',
  );
  assert.throws(() => checkFiles(homes, exists), /sudo install -m 600 \/home\/pi\/\.ssh\/id \/etc\/tunneld\//);
  assert.throws(
    () => checkFiles(homes, exists),
    /sudo install -m 644 \/home\/pi\/\.ssh\/id-cert\.pub \/etc\/tunneld\//,
  );
});

test('runs no command when a step is done already', () => {
  const state = {
    load: 'loaded',
    fragment: '',
    dropIns: [],
    active: 'active',
    enabled: 'enabled',
    needsReload: false,
    pid: 1,
    exitStatus: 0,
    status: '',
  };
  const given = { systemctl: ['systemctl'], state, unitChanged: false, runsOther: false, start: true };
  const commands = (change: Partial<typeof given>, changedState: Partial<typeof state> = {}) =>
    activationSteps({ ...given, ...change, state: { ...state, ...changedState } }).map((step) =>
      step.type === 'command' ? step.argv.slice(1).join(' ') : '',
    );
  assert.deepEqual(commands({}), []);
  assert.deepEqual(commands({ unitChanged: true }), ['daemon-reload', 'restart tunnel.service']);
  assert.deepEqual(commands({ unitChanged: true, start: false }), ['daemon-reload']);
  assert.deepEqual(commands({ runsOther: true }), ['restart tunnel.service']);
  assert.deepEqual(commands({}, { needsReload: true }), ['daemon-reload']);
  assert.deepEqual(commands({}, { active: 'failed', enabled: 'disabled' }), [
    'enable tunnel.service',
    'start tunnel.service',
  ]);
  assert.deepEqual(commands({ unitChanged: true }, { active: 'activating' }), [
    'daemon-reload',
    'restart tunnel.service',
  ]);
  assert.deepEqual(commands({}, { active: 'activating' }), ['start tunnel.service']);
  assert.deepEqual(commands({ start: false }, { active: 'inactive' }), []);
  assert.deepEqual(
    commands({}, { enabled: 'enabled-runtime' }),
    ['enable tunnel.service'],
    'until the next boot alone',
  );
});

test('understands the service manager, and names its number when it is too old', async () => {
  const says = (stdout: string) => systemManager(() => Promise.resolve({ code: 0, stdout, stderr: '' }));
  assert.equal(await systemdVersion(says('systemd 252 (252.38-1~deb12u1)\n+PAM\n'), 251), 252);
  assert.equal(await systemdVersion(says('systemd 257.5-2 (257.5-2)\n'), 251), 257);
  await assert.rejects(
    systemdVersion(says('systemd 247 (247.3-7)\n'), 251),
    /systemd 247 is too old: the service needs 251/,
  );
  await assert.rejects(systemdVersion(says('nonsense'), 251), /of an unknown version/);
  const state = await unitState(
    says(
      'LoadState=loaded\nFragmentPath=/a\nDropInPaths=/etc/x/service.d/a.conf /etc/x/tunnel.service.d/b.conf\nNeedDaemonReload=yes\nMainPID=7\n',
    ),
  );
  assert.deepEqual([state.dropIns, state.needsReload, state.pid], [['/etc/x/tunnel.service.d/b.conf'], true, 7]);
  // While a service reads its configuration anew, it runs all the same.
  assert.equal((await unitState(says('LoadState=loaded\nActiveState=reloading\n'))).active, 'active');
});

test('refuses a user of our name with the cure when it is not ours', () => {
  const account = { name: 'tunneld', uid: 900, gid: 901, comment: '', home: '/var/lib/tunneld' };
  checkAccount(null, null, '/var/lib/tunneld');
  checkAccount(account, 901, '/var/lib/tunneld');
  assert.throws(() => checkAccount(account, null, '/var/lib/tunneld'), /groupadd --force --system tunneld/);
  assert.throws(() => checkAccount({ ...account, home: '/x' }, 901, '/var/lib/tunneld'), /has the home \/x/);
});

test('removes the user at a purge when install made it, and leaves one that an administrator made', async () => {
  const plan = (comment: string, members = '') => {
    const run: Runner = ([program, database]) => {
      const known = database === 'group' ? `900:${members}` : `900:900:${comment}:/var/lib/tunneld:/x`;
      const stdout = program === 'getent' ? `tunneld:x:${known}\n` : 'LoadState=not-found\n';
      return Promise.resolve({ code: 0, stdout, stderr: '' });
    };
    return planRemoval({ manager: systemManager(run), unitFile: '/nowhere/tunnel.service', purge: true }, run);
  };
  const ours = await plan(MADE_BY_US);
  assert.deepEqual(ours.steps.at(-1), {
    type: 'command',
    argv: ['userdel', 'tunneld'],
    why: 'tunneld install created the user',
  });
  const shared = await plan(MADE_BY_US, 'pi');
  assert.deepEqual(
    shared.steps.slice(-2).map((step) => step.type === 'command' && step.argv),
    [
      ['userdel', 'tunneld'],
      ['groupdel', 'tunneld'],
    ],
  );
  const another = await plan('SSH tunnels');
  assert.deepEqual(
    another.steps.map(({ type }) => type),
    ['remove', 'remove'],
  );
  assert.match(another.notes.at(-1) ?? '', /the user tunneld is kept/);
});

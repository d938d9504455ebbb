import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld } from '../../support/server-world.ts';
import { until } from '../../support/until.ts';
import { connects, forwards, printed, setUp, undo, untilListening, USER } from './fixture.ts';

const LISTENER = '8080:localhost:2022';

test('lets the key listen on the port of the tunnel, and do nothing else', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, {
    config: 'Include /etc/ssh/sshd_config.d/*.conf\nLogLevel DEBUG1\nX11Forwarding yes\nSubsystem sftp internal-sftp\n',
  });
  await untilListening(world);
  await setUp(world);
  const login = `${USER}@server`;

  assert.equal(forwards(world, LISTENER), 'granted');
  for (const other of [
    '8081:localhost:2022',
    '0:localhost:2022',
    '*:8080:localhost:2022',
    '/run/a.sock:localhost:2022',
  ])
    assert.equal(forwards(world, other), 'refused', other);
  for (const to of ['localhost:22', '127.0.0.1:22', 'server:22', 'localhost:8081'])
    assert.equal(connects(world, to), 'prohibited', to);

  assert.doesNotMatch(world.ssh(login, 'echo here').stdout, /here/);
  assert.notEqual(world.ssh(login, 'true').code, 0);
  assert.notEqual(world.run(['ssh', '-F', `${world.dir}/ssh_config`, login], 'echo here\n').code, 0);
  assert.match(world.ssh('-tt', login).stderr, /PTY allocation request failed/);
  assert.notEqual(world.run(['sftp', '-F', `${world.dir}/ssh_config`, login], 'ls /\n').code, 0);
  world.run(['ssh-agent', 'ssh', '-F', `${world.dir}/ssh_config`, '-A', login, 'true']);
  await until(() => /agent forwarding disabled/i.test(world.sshdLog()), { what: 'the refusal of agent forwarding' });
  const x11 = ['env', 'DISPLAY=localhost:7', 'ssh', '-F', `${world.dir}/ssh_config`, '-Y', login, 'true'];
  assert.match(world.run(x11).stderr, /X11 forwarding request failed/);
  const password = world.ssh('-o', 'PubkeyAuthentication=no', login);
  assert.match(password.stderr, /Permission denied \(publickey\)/);
  assert.match(world.read('/etc/shadow')!, new RegExp(`^${USER}:\\*:`, 'm'));
  assert.match(world.read('/etc/passwd')!, new RegExp(`^${USER}:.*:/usr/sbin/nologin$`, 'm'));
});

const SPARE = '/etc/ssh/ssh_host_ed25519_spare_key';

test('changes nothing when it is run twice, and leaves the server as it was to the byte when it is undone', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  const before = world.snapshot();
  assert.ok(Object.keys(before).includes('/etc/shadow'));
  const spare = ['--spare-host-key'];
  const made = await setUp(world, spare);
  const after = world.snapshot();
  assert.notDeepEqual(after, before);
  assert.match((await setUp(world, spare)).stdout, /nothing was changed/);
  assert.deepEqual(world.snapshot(), after);

  const [, key = ''] = /^spare host key: (ssh-ed25519 \S+)$/m.exec(made.stdout) ?? [];
  assert.ok(world.read(`${SPARE}.pub`)!.startsWith(`${key} `));
  assert.equal(world.run(['stat', '-c', '%U %a', SPARE]).stdout, 'root 600\n');
  assert.doesNotMatch(world.run(['sshd', '-T']).stdout, /spare/);

  const [options] = world.read(`/etc/ssh/authorized_keys.d/${USER}`)!.split(' ', 1);
  assert.equal(
    options,
    'restrict,port-forwarding,permitlisten="localhost:8080",permitopen="localhost:8080",permitopen="127.0.0.1:8080",permitopen="[::1]:8080",permitopen="127.0.0.2:8080",command="false"',
  );
  assert.ok(world.read(`/etc/ssh/authorized_keys.d/${USER}`)!.endsWith(` it's a key\n`));

  // A tunnel that is up ends with its user.
  const tunnel = world.spawn(['ssh', '-F', `${world.dir}/ssh_config`, '-N', '-R', LISTENER, `${USER}@server`]);
  const ended = new Promise((resolve) => tunnel.once('exit', resolve));
  await until(() => world.sshdLog().includes(`Accepted publickey for ${USER}`), { what: 'the login' });
  await undo(world);
  await ended;
  assert.deepEqual(world.snapshot(), before);
  assert.match((await undo(world)).stdout, /nothing to undo/);
  assert.deepEqual(world.snapshot(), before);
  assert.match(world.ssh(`${USER}@server`).stderr, /Permission denied/);

  // A spare key that is in use is none any more.
  await setUp(world, spare);
  world.run(['sh', '-c', `echo 'HostKey ${SPARE}' >/etc/ssh/sshd_config.d/99-used.conf`]);
  assert.match((await undo(world)).stdout, /ssh_host_ed25519_spare_key stays: sshd uses it/);
  assert.equal(world.run(['test', '-s', SPARE]).code, 0);
});

test('sets a changed tunnel up anew, and goes back to the first state when it is undone', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  const before = world.snapshot();
  await setUp(world);
  await setUp(world, [], "remoteForward: ['8080:localhost:2022', '8090:localhost:80']");
  assert.equal(forwards(world, LISTENER), 'granted');
  assert.equal(forwards(world, '8090:localhost:80'), 'granted');
  await setUp(world, [], 'remoteForward: 8090:localhost:80');
  assert.equal(forwards(world, LISTENER), 'refused');
  await undo(world);
  assert.deepEqual(world.snapshot(), before);
});

test('runs no command, whatever shell the user has, though restrict and port-forwarding alone would', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const config = 'Include /etc/ssh/sshd_config.d/*.conf\nAuthorizedKeysFile /etc/ssh/%u.keys\n';
  const world = await startServerWorld(t, {
    config,
    prepare: "useradd --system --no-create-home --shell /bin/sh --password '*' naive",
  });
  await untilListening(world);
  const publicKey = readFileSync(`${world.key}.pub`, 'utf8');
  const line = `restrict,port-forwarding,permitlisten="localhost:8080" ${publicKey}`;
  world.run(['sh', '-c', 'cat >/etc/ssh/naive.keys'], line);
  assert.match(world.ssh('naive@server', 'id').stdout, /^uid=.*naive/);

  await setUp(world);
  world.run(['usermod', '--shell', '/bin/sh', USER]);
  const { code, stdout } = world.ssh(`${USER}@server`, 'id');
  assert.deepEqual([code, stdout], [1, '']);
  assert.equal(forwards(world, LISTENER), 'granted');
});

test('knows that permitlisten compares the text of the address, not what it stands for', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  await setUp(
    world,
    [],
    `remoteForward: ['8080:localhost:1', '127.0.0.1:8081:localhost:1', '[::1]:8082:localhost:1', '*:8083:localhost:1', 'LocalHost:8084:localhost:1', '127.0.0.2:8085:localhost:1']`,
  );
  assert.match(world.read('/etc/ssh/sshd_config.d/00-tunneld-limited.conf')!, /^ {2}GatewayPorts clientspecified$/m);
  const granted = [
    '8080',
    'localhost:8080',
    '127.0.0.1:8081',
    '[::1]:8082',
    '*:8083',
    'LOCALHOST:8084',
    '127.0.0.2:8085',
  ];
  for (const listen of granted) assert.equal(forwards(world, `${listen}:localhost:1`), 'granted', listen);
  // 127.0.0.1 is what localhost stands for, and sshd refuses it.
  const refused = ['127.0.0.1:8080', '[::1]:8080', '*:8080', '8081', '127.0.0.1:8085', '8086', '*:0'];
  for (const listen of refused) assert.equal(forwards(world, `${listen}:localhost:1`), 'refused', listen);
});

test('says so when sshd cannot be as exact: for port 0 and Unix sockets', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  const forward = `remoteForward: ['0:localhost:22', { listen: /run/limited/a.sock, target: 'localhost:22' }]`;
  const script = await printed(world, ['server-setup'], forward);
  assert.match(script, /^# Note: The server chooses the port \(port 0\).*every port is allowed\.$/m);
  assert.match(script, /^# Note: sshd cannot limit the paths of Unix sockets.*folder of \/run\/limited\/a\.sock\.$/m);
  await setUp(world, [], forward);
  world.run(['install', '-d', '-o', USER, '/run/limited']);
  for (const granted of ['0:localhost:22', '9999:localhost:22', '/run/limited/a.sock:localhost:22'])
    assert.equal(forwards(world, granted), 'granted', granted);
  // What a dead connection left is replaced.
  world.run(['sh', '-c', 'kill -KILL $(pidof ssh)']);
  assert.equal(forwards(world, '/run/limited/a.sock:localhost:22'), 'granted');
  assert.equal(forwards(world, '*:9999:localhost:22'), 'refused');
  // To verify a port that the server chooses.
  assert.match(
    script,
    /^# Note: To verify .* every port of the server's localhost: .*name a port, or set `verify: off`/m,
  );
  assert.equal(connects(world, 'localhost:22'), 'connected');
  assert.equal(connects(world, 'server:22'), 'prohibited');
  await setUp(world, [], `${forward}, verify: off`);
  assert.equal(connects(world, 'localhost:22'), 'prohibited');
});

test('allows no TCP port when a listener is on a Unix socket alone', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  await setUp(world, [], `remoteForward: { listen: /run/limited/a.sock, target: 'localhost:22' }`);
  world.run(['install', '-d', '-o', USER, '/run/limited']);
  assert.equal(forwards(world, '/run/limited/a.sock:localhost:22'), 'granted');
  assert.equal(forwards(world, '8080:localhost:22'), 'refused');
  assert.equal(connects(world, 'localhost:22'), 'prohibited');
});

test('lets local forwards reach their targets, and nothing else, when a tunnel has some', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  await untilListening(world);
  await setUp(world, [], 'localForward: 9000:localhost:22');
  assert.equal(connects(world, 'localhost:22'), 'connected');
  assert.equal(connects(world, '127.0.0.1:22'), 'prohibited');
  assert.equal(forwards(world, LISTENER), 'refused');
});

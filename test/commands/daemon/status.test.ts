import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Step } from '../../../src/doctor/check.ts';
import type { StatusDocument } from '../../../src/status/document.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

test('exits with a code that says whether what is shown is up', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const nowhere = `  bad: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }\n`;
  const port = await freePort();
  const daemon = await startDaemonProcess(
    t,
    `tunnels:\n${tunnelYaml(sshd, 'good', `${port}:localhost:${sshd.port}`)}${nowhere}`,
  );
  await daemon.untilStatus(
    ({ tunnels }) => tunnels[0]?.phase === 'up' && tunnels[1]?.failure !== undefined,
    'one up and one not',
  );
  const all = await daemon.command('status', '--json');
  const { version, pid, tunnels } = JSON.parse(all.stdout) as StatusDocument;
  assert.deepEqual([all.code, pid, tunnels.length], [1, daemon.pid, 2]);
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.equal(tunnels[1]?.failure?.code, 'connect-refused');
  assert.ok(tunnels[0]?.sourcePort);
  const { counters, ...forward } = { counters: null, ...tunnels[0]?.forwards[0] };
  assert.equal(counters, null);
  assert.deepEqual(forward, {
    kind: 'remote',
    listen: `localhost:${port}`,
    target: `localhost:${sshd.port}`,
    state: 'up',
    verified: 'yes',
    connections: 0,
    totalConnections: 0,
    refusedConnections: 0,
    cutConnections: 0,
    bytesIn: 0,
    bytesOut: 0,
  });
  assert.equal((await daemon.command('status', 'good')).code, 0);
  assert.equal((await daemon.command('status', 'bad')).code, 1);
  assert.equal((await daemon.command('status', 'ugly')).code, 4);
  assert.equal((await daemon.command('status', '--colour')).code, 2);
});

test('lists open connections with origin, age and bytes when one tunnel is asked for', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'good', `${port}:localhost:${echo.port}`)}`);
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.forwards[0]?.verified === 'yes', 'verified');
  const visitor = connect(port, '127.0.0.1', () => visitor.write('hello')).on('error', () => {});
  t.after(() => visitor.destroy());
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.forwards[0]?.bytesOut === 5, 'an answer');
  const { stdout } = await daemon.command('status', 'good', '--json');
  const listed = (JSON.parse(stdout) as StatusDocument).tunnels[0]?.forwards[0]?.openConnections;
  assert.deepEqual(
    listed?.map(({ target, bytesIn, bytesOut }) => [target, bytesIn, bytesOut]),
    [[`localhost:${echo.port}`, 5, 5]],
  );
  assert.match(listed[0]?.originator ?? '', /^(127\.0\.0\.1|::1):\d+$/);
  assert.ok(Number.isFinite(Date.parse(listed[0]?.since ?? '')));
  assert.doesNotMatch((await daemon.command('status', '--json')).stdout, /openConnections/);
  visitor.destroy();
  await until(async () => /"openConnections": \[\]/.test((await daemon.command('status', 'good', '--json')).stdout), {
    what: 'no connection',
  });
});

test('refuses flags that exclude each other, and says which, when they are given together', async () => {
  const cases = [
    ['--json', '--check'],
    ['--json', '--prometheus'],
    ['--check', '--prometheus'],
    ['--watch', '--check'],
    ['--watch', '--prometheus'],
  ];
  for (const flags of cases) {
    const { code, stdout, stderr } = await tunneld(['status', ...flags]);
    assert.deepEqual([code, stdout], [2, ''], flags.join(' '));
    for (const flag of flags) assert.ok(stderr.includes(flag), stderr);
  }
  const named = await tunneld(['status', 'backup', '--prometheus']);
  assert.deepEqual([named.code, named.stdout], [2, '']);
  assert.match(named.stderr, /leave the name out/);
});

test('says so when no daemon runs', async (t) => {
  const config = join(await tempDir(t), 'none.yaml');
  const missing = await tunneld(['status', '--config', config]);
  assert.deepEqual([missing.code, missing.stdout], [3, '']);
  assert.match(missing.stderr, /^tunneld: \S+none\.yaml: no such file, and no daemon runs \(.*\): .*`tunneld init`/);
  writeFileSync(config, 'tunnels: {}\n');
  const { code, stdout, stderr } = await tunneld(['status', '--config', config]);
  assert.deepEqual([code, stdout], [3, '']);
  assert.match(stderr, /the daemon is not running .*`sudo tunneld install`/);
});

test('gives a daemon up in time when it hangs', async (t) => {
  const daemon = await startDaemonProcess(
    t,
    `tunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }`,
  );
  await daemon.untilStatus(() => true, 'an answer');
  daemon.signal('SIGSTOP');
  const [{ code, stderr }, doctor] = await Promise.all([daemon.command('status'), daemon.command('doctor', '--json')]);
  daemon.signal('SIGCONT');
  assert.equal(code, 1);
  assert.match(stderr, /^tunneld: the daemon at \S+ does not answer within 10 s: it is stopped or hangs\n$/);
  assert.equal(doctor.code, 1);
  const { steps } = JSON.parse(doctor.stdout) as { readonly steps: readonly Step[] };
  const failed = steps.find(({ step, result }) => step === 'service manager' && result === 'fail');
  assert.match(failed?.seen ?? '', /does not answer within 10 s/);
  assert.match(failed?.cure ?? '', /systemctl restart tunnel/);
});

test('status: says when something else listens on the socket', async (t) => {
  const dir = await tempDir(t);
  const server = createServer((socket) => socket.on('error', () => {}).write('220 mail.example.org\r\n'));
  await new Promise<void>((resolve) => server.listen(join(dir, 'c.sock'), resolve));
  t.after(() => server.close());
  const config = join(dir, 'config.yaml');
  writeFileSync(config, `control: { socket: ${dir}/c.sock }\n`);
  const { code, stderr } = await tunneld(['status', '--config', config]);
  assert.equal(code, 1);
  assert.match(stderr, /^tunneld: \S+ is not a socket of tunneld: another program listens there\n$/);
});

test('cuts a wait short when retry is called', async (t) => {
  const daemon = await startDaemonProcess(
    t,
    `tunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22", reconnect: { min: 50 } }`,
  );
  const first = await daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'waiting', 'a wait');
  assert.ok(Date.parse(first.tunnels[0]?.retryAt ?? '') - Date.now() > 20_000);
  assert.equal((await daemon.command('retry', 'a')).code, 0);
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.attempts === 2, 'a second attempt');
  assert.equal((await daemon.command('retry', 'b')).code, 4);
});

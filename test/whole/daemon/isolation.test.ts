import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';

test('leaves the others up when one tunnel has trouble, and status reports all of it', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const nobody = await freePort();
  const daemon = await startDaemonProcess(
    t,
    `tunnels:
${tunnelYaml(sshd, 'good', `${port}:127.0.0.1:${echo.port}`)}
${tunnelYaml(sshd, 'refused', `${await freePort()}:localhost:22`).replace(`port: ${sshd.port}`, `port: ${nobody}`)}
${tunnelYaml(sshd, 'stranger', `${await freePort()}:localhost:22`).replace(/userKnownHostsFile: .*/, 'userKnownHostsFile: /dev/null')}
${tunnelYaml(sshd, 'keyless', `${await freePort()}:localhost:22`).replace(/identityFile: .*/, 'identityFile: /does/not/exist')}
`,
  );
  const status = await daemon.untilStatus(
    ({ tunnels }) => tunnels[0]?.phase === 'up' && tunnels.slice(1).every(({ failure }) => failure !== undefined),
    'one up and three failed',
  );
  assert.deepEqual(
    status.tunnels.map(({ name, phase, failure }) => [name, phase, failure?.code]),
    [
      ['good', 'up', undefined],
      ['refused', 'waiting', 'connect-refused'],
      ['stranger', 'blocked', 'host-key-unknown'],
      ['keyless', 'blocked', 'key-unreadable'],
    ],
  );
  assert.equal(status.health, 'failed');
  assert.ok(status.tunnels.slice(1).every(({ retryAt }) => Date.parse(retryAt ?? '') > Date.parse(status.startedAt)));

  const table = await daemon.command('status');
  assert.equal(table.code, 1, 'some tunnel is not up');
  assert.equal(table.stderr, '');
  assert.match(table.stdout, new RegExp(`^good +up +\\d+s ago +${port} +yes +0$`, 'm'));
  assert.match(
    (await daemon.command('status', 'good')).stdout,
    new RegExp(`^  -R localhost:${port} → 127\\.0\\.0\\.1:${echo.port}  up \\(verified: yes\\)`, 'm'),
  );
  assert.match(table.stdout, /^stranger: blocked, .*next try in /m);
  assert.match(table.stdout, /host-key-unknown .*SHA256:/);
  assert.match(table.stdout, /tunneld trust/);
  assert.match(table.stdout, /INFO {2}\[good\] tunnel is up/);
  assert.ok(!table.stdout.includes('\u001b'), 'no colour without a terminal');

  assert.equal((await daemon.command('status', 'good')).code, 0);
  assert.equal((await daemon.command('status', 'nosuch')).code, 4);
  assert.equal((await daemon.command('retry', 'nosuch')).code, 4);
  assert.equal((await daemon.command('logs', 'nosuch')).code, 4);

  const logs = await daemon.command('logs', 'stranger', '-n', '1', '--json');
  assert.equal(logs.code, 0);
  const line = JSON.parse(logs.stdout) as { tunnel: string; code: string };
  assert.deepEqual([line.tunnel, line.code], ['stranger', 'host-key-unknown']);

  const attempts = (name: string) => async () =>
    (await daemon.status()).tunnels.find((tunnel) => tunnel.name === name)?.attempts ?? 0;
  const before = await attempts('keyless')();
  assert.equal((await daemon.command('retry', 'keyless')).code, 0);
  await until(async () => (await attempts('keyless')()) > before, { what: 'another attempt' });

  daemon.signal('SIGTERM');
  assert.equal(await daemon.exited, 0);
  for (const text of daemon.stderr().trimEnd().split('\n')) assert.equal(typeof JSON.parse(text), 'object');
});

test('says that no daemon runs, at every command', async (t) => {
  const daemon = await startDaemonProcess(t, 'nonsense: yes', { mayFail: true });
  assert.equal(await daemon.exited, 78);
  assert.match(daemon.stderr(), /config\.yaml:1:1: /);
  for (const command of ['status', 'logs', 'reload', 'retry']) {
    const result = await daemon.command(command);
    assert.equal(result.code, 3, command);
    assert.equal(result.stdout, '');
    assert.match(result.stderr, /not running/);
  }
  assert.equal((await daemon.command('check')).code, 78);
  assert.equal((await tunneld(['frobnicate'])).code, 2);
  assert.equal((await tunneld(['status', '--colour'])).code, 2);
  assert.equal((await tunneld(['logs', '-n', 'many'])).code, 2);
  assert.equal((await tunneld(['check', '--config', '/does/not/exist'])).code, 78);
});

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, type TestDaemon, type TestDaemonOptions } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { startFakeSsh } from '../../support/fake-server.ts';
import { visit } from '../../support/visit.ts';

test('starts a tunnel last when it stopped the process twice in a row, says so, and starts it when a person wants it', async (t) => {
  const sshd = await startSshd();
  const echo = await startEcho();
  t.after(() => Promise.all([sshd.stop(), echo.close()]));
  const tunnels = [];
  for (const name of ['good', 'bad'])
    tunnels.push(tunnelYaml(sshd, name, `${await freePort()}:127.0.0.1:${echo.port}`));
  const first = await startDaemonProcess(t, `tunnels:\n${tunnels.join('\n')}`);
  const up = (name: string) => (status: Awaited<ReturnType<typeof first.status>>) =>
    status.tunnels.some((tunnel) => tunnel.name === name && tunnel.phase === 'up');
  await first.untilStatus((status) => up('good')(status) && up('bad')(status), 'both up');
  const file = join(first.dir, 'last-connected.json');
  await until(() => existsSync(file), { what: 'the note of the tunnel that connected last' });
  first.signal('SIGKILL');
  await first.exited;
  const kept = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  assert.match(String(kept['last']), /^(good|bad)$/);

  // As if it had been the same one before.
  writeFileSync(file, JSON.stringify({ ...kept, last: 'bad', suspect: 'bad', times: 1 }));
  const second = await startDaemonProcess(t, '', { after: first });
  const status = await second.untilStatus(up('good'), 'the other one');
  const bad = status.tunnels.find(({ name }) => name === 'bad');
  assert.deepEqual([bad?.phase, bad?.failure?.code], ['waiting', 'internal']);
  assert.match(bad?.failure?.message ?? '', /stopped 2 times in a row just after this tunnel had connected/);
  assert.ok(Date.parse(bad?.retryAt ?? '') - Date.now() > 30_000);
  await second.untilSaid(/it is started last, and slowly/);
  assert.equal((await second.command('retry', 'bad')).code, 0);
  await second.untilStatus(up('bad'), 'the suspect, which a person wants');

  second.signal('SIGTERM');
  await second.exited;
  await until(() => /"last":null/.test(readFileSync(file, 'utf8')), { what: 'nobody in suspicion' });
});

test('finds the server that makes the loop spin by what the watchdog ended, and the others live', async (t) => {
  const sshd = await startSshd();
  const echo = await startEcho();
  t.after(() => Promise.all([sshd.stop(), echo.close()]));
  // It stands for any fault by which what a server sends holds up the loop for ever.
  const dir = await tempDir(t);
  const hook = join(dir, 'spin.cjs');
  writeFileSync(hook, "process.on('SIGUSR2', () => { for (;;); });\n");
  let pid = 0;
  const poison = await startFakeSsh(t, sshd, (connection) => {
    connection.on('authentication', (attempt) => attempt.accept());
    connection.on('request', (accept) => {
      accept?.();
      process.kill(pid, 'SIGUSR2');
    });
  });
  const port = await freePort();
  const good = tunnelYaml(sshd, 'good', `${port}:127.0.0.1:${echo.port}`);
  const bad = tunnelYaml(sshd, 'bad', `${await freePort()}:127.0.0.1:${echo.port}`)
    .replace(`port: ${sshd.port}`, `port: ${poison.port}`)
    .replace(/userKnownHostsFile: .*/, 'strictHostKeyChecking: no');
  const env = { TUNNELD_WATCHDOG: '2', NODE_OPTIONS: `--require=${hook}` };
  let daemon: TestDaemon | null = null;
  // The first time it may be the good one that connected last, and it has to be found out.
  for (let life = 1; daemon === null || !/started last, and slowly/.test(daemon.stderr()); life++) {
    assert.ok(life <= 6, 'it is found after a few times');
    if (daemon !== null) assert.match(daemon.stderr(), /no sign of life for 2 seconds: the watchdog ends this process/);
    const options: TestDaemonOptions = daemon === null ? { env } : { env, after: daemon };
    const next = await startDaemonProcess(t, `tunnels:\n${good}${bad}`, { ...options, mayFail: true });
    ({ pid } = next);
    const isApart = () => /started last, and slowly/.test(next.stderr());
    let ended = false;
    void next.exited.then(() => (ended = true));
    await until(() => ended || isApart(), { what: () => `the next end; ${next.stderr()}`, timeoutMs: 60_000 });
    daemon = next;
  }
  const status = await daemon.untilStatus(
    ({ tunnels }) => tunnels.some(({ name, phase }) => name === 'good' && phase === 'up'),
    'the good one',
    30_000,
  );
  const suspect = status.tunnels.find(({ name }) => name === 'bad');
  assert.equal(suspect?.phase, 'waiting');
  assert.match(suspect?.failure?.message ?? '', /stopped 2 times in a row just after this tunnel had connected/);
  assert.equal(await visit(port, 'served'), 'served');
});

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../support/daemon-config.ts';
import { startEcho } from '../support/echo.ts';
import { startSshd } from '../support/sshd.ts';
import { startDaemonProcess } from '../support/tunneld.ts';
import { freePort, until } from '../support/until.ts';

test('a tunnel that stopped the process twice in a row starts last, says so, and starts when a person wants it', async (t) => {
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
  first.signal('SIGKILL');
  await first.exited;
  const file = join(first.dir, 'last-connected.json');
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
  assert.match(second.stderr(), /it is started last, and slowly/);
  assert.equal((await second.command('retry', 'bad')).code, 0);
  await second.untilStatus(up('bad'), 'the suspect, which a person wants');

  second.signal('SIGTERM');
  await second.exited;
  await until(() => /"last":null/.test(readFileSync(file, 'utf8')), { what: 'nobody in suspicion' });
});

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HistoryDocument } from '../../../src/history/document.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, type TestDaemon } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';

async function historyOf(daemon: TestDaemon, ...args: string[]): Promise<HistoryDocument> {
  const { code, stdout, stderr } = await daemon.command('history', ...args, '--json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as HistoryDocument;
}

test('lists outages with causes and visitors that were cut, also when the daemon was restarted', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const yaml = `tunnels:\n${tunnelYaml(sshd, 'backup', `${port}:localhost:${echo.port}`)}`;
  const first = await startDaemonProcess(t, yaml);
  const isUp = (daemon: TestDaemon) =>
    daemon.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up' && tunnels[0].forwards[0]?.verified === 'yes', 'up');
  await isUp(first);
  assert.deepEqual((await historyOf(first)).tunnels[0]?.outages, []);
  assert.match((await first.command('history')).stdout, /^backup: up day 100\.00%, .*\n {2}no outage\n$/);

  const visitor = connect(port, '127.0.0.1').on('error', () => {});
  t.after(() => visitor.destroy());
  await until(async () => (await first.status()).tunnels[0]?.forwards[0]?.connections === 1, { what: 'a visitor' });
  sshd.killSessions();
  await until(async () => (await historyOf(first)).tunnels[0]?.outages[0]?.to !== undefined, { what: 'an outage' });
  await isUp(first);
  first.signal('SIGTERM');
  await first.exited;

  const second = await startDaemonProcess(t, yaml, { after: first });
  await isUp(second);
  const { tunnels } = await historyOf(second, 'backup');
  const [tunnel] = tunnels;
  assert.deepEqual(
    tunnel?.outages.map(({ cause, visitors, ended, clock }) => [cause, visitors, ended, clock]),
    [
      ['disconnected', 1, 'up', undefined],
      ['not-running', 0, 'up', undefined],
    ],
  );
  assert.ok(tunnel.day.downMs > 0 && tunnel.day.availability !== undefined && tunnel.day.availability < 1);
  const { stdout } = await second.command('history', 'backup');
  assert.match(stdout, /^backup: up day \d\d\.\d\d%, week .*watched for/);
  assert.match(stdout, /\n {2}\d\d:\d\d:\d\d {2}\S+ {2,}disconnected {2,}1 connection cut; /);
  assert.match(stdout, /\n {2}2 outages, the longest .*, most often /);
  assert.deepEqual((await historyOf(second, '--since', '1s')).tunnels[0]?.name, 'backup');

  assert.equal((await second.command('history', 'nobody')).code, 4);
  assert.equal((await second.command('history', '--since', 'yesterday')).code, 2);
});

test('begins anew when its file is damaged, and the tunnel is up all the same', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const yaml = `tunnels:\n${tunnelYaml(sshd, 'backup', `${await freePort()}:localhost:${sshd.port}`)}`;
  const first = await startDaemonProcess(t, yaml);
  await first.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
  first.signal('SIGTERM');
  await first.exited;
  const path = join(first.dir, 'history.jsonl');
  assert.match(readFileSync(path, 'utf8'), /"begin"/);
  writeFileSync(path, '{"type":"outage"}\n\u0000\u0000');
  const second = await startDaemonProcess(t, yaml, { after: first });
  await second.untilStatus(({ tunnels }) => tunnels[0]?.phase === 'up', 'up');
  await until(() => /"msg":"history .*is kept as history\.jsonl\.damaged/.test(second.stderr()), { what: 'the word' });
  assert.equal((await historyOf(second)).tunnels.length, 1);
});

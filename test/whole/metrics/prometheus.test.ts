import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { METRIC_ROWS } from '../../../src/metrics/rows.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, type TestDaemon } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

const RULES = fileURLToPath(new URL('../../../packaging/prometheus/tunneld-alerts.yaml', import.meta.url));

function promtool(args: readonly string[], input = ''): void {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}${error?.message ?? ''}`);
}

test('has valid alert rules, which fire when they should and not before', async (t) => {
  promtool(['check', 'rules', RULES]);
  const cases = readFileSync(new URL('alerts-test.yaml', import.meta.url), 'utf8');
  const file = join(await tempDir(t), 'cases.yaml');
  writeFileSync(file, cases.replace('RULES', JSON.stringify(RULES)));
  promtool(['test', 'rules', file]);
  const names = [...readFileSync(RULES, 'utf8').matchAll(/tunneld_\w+/g)].map(([name]) => name);
  for (const name of names)
    assert.ok(
      METRIC_ROWS.some((row) => row.name === name),
      name,
    );
});

async function startTunnel(
  t: TestContext,
): Promise<{ readonly daemon: TestDaemon; readonly port: number; stop(): Promise<void> }> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const port = await freePort();
  const yaml = tunnelYaml(sshd, 'backup', `${await freePort()}:localhost:${sshd.port}`);
  const daemon = await startDaemonProcess(t, `tunnels:\n${yaml}metrics: { listen: ${port} }\n`);
  await daemon.untilStatus(({ tunnels: [tunnel] }) => tunnel?.forwards[0]?.verified === 'yes', 'up and verified');
  return { daemon, port, stop: () => sshd.kill() };
}

test('serves a real Prometheus from a real tunnel, and promtool finds nothing to complain of', async (t) => {
  const { daemon, port, stop } = await startTunnel(t);
  promtool(['check', 'metrics'], await createMetrics('prometheus')(await daemon.status()));

  const directory = await tempDir(t);
  const web = await freePort();
  writeFileSync(
    join(directory, 'prometheus.yml'),
    `global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [${JSON.stringify(RULES)}]\n` +
      `scrape_configs:\n  - { job_name: tunneld, static_configs: [{ targets: ['127.0.0.1:${port}'] }] }\n`,
  );
  const server = spawn(
    'prometheus',
    [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=127.0.0.1:${web}`,
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => server.once('exit', resolve));
  t.after(async () => {
    server.kill('SIGKILL');
    await ended;
  });
  const query = async (expression: string): Promise<string | null> => {
    const url = `http://127.0.0.1:${web}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const answer = (await fetch(url).then(
      (response) => response.json(),
      () => null,
    )) as QueryAnswer | null;
    return answer?.data.result[0]?.value[1] ?? null;
  };
  await until(async () => (await query('tunneld_tunnel_verified{tunnel="backup"}')) === '1', { what: 'a scrape' });
  assert.equal(await query('count(tunneld_tunnel_phase{tunnel="backup"})'), '8');
  await stop();
  await until(async () => (await query('tunneld_tunnel_up{tunnel="backup"}')) === '0', { what: 'the fall' });
  await until(async () => (await query('ALERTS{alertname="TunnelDown"}')) !== null, {
    what: 'the alert to be pending',
  });
});

interface QueryAnswer {
  readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { METRIC_ROWS } from '../../../src/metrics/rows.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { makeKey } from '../../support/login.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, type TestDaemon } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

const RULES = fileURLToPath(new URL('../../../packaging/prometheus/tunneld-alerts.yaml', import.meta.url));

const DASHBOARD = fileURLToPath(new URL('../../../packaging/prometheus/tunneld-dashboard.json', import.meta.url));

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly datasource: { readonly uid: string };
    readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
    readonly targets: readonly { readonly refId: string; readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

const dashboard = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as Dashboard;

/** A query as Grafana sends it, for everything. */
function filledIn(expression: string): string {
  return expression.replaceAll(/\$__(?:range|rate_interval)\b/g, '1m').replaceAll(/\$(?:instance|tunnel)\b/g, '.*');
}

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
  assertKnown(readFileSync(RULES, 'utf8'));
});

function assertKnown(text: string): void {
  for (const [name] of text.matchAll(/\b(?:tunneld|process)_\w+/g))
    assert.ok(
      METRIC_ROWS.some((row) => row.name === name),
      name,
    );
}

test('has a dashboard whose panels have a place each, and ask for nothing but what there is', () => {
  const variables = dashboard.templating.list.map(({ name }) => name);
  assert.deepEqual(variables, ['datasource', 'instance', 'tunnel']);
  const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const definitions = dashboard.templating.list.flatMap(({ definition = [] }) => definition);
  for (const text of [...expressions, ...definitions]) assertKnown(text);
  for (const expression of expressions) assert.doesNotMatch(filledIn(expression), /\$/, expression);
  const cells = new Set<string>();
  for (const { title, datasource, gridPos, targets } of dashboard.panels) {
    assert.equal(datasource.uid, '${datasource}', title);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!cells.has(`${x} ${y}`), `${title} covers another one`);
        cells.add(`${x} ${y}`);
      }
  }
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
});

async function startTunnel(
  t: TestContext,
): Promise<{ readonly daemon: TestDaemon; readonly port: number; stop(): Promise<void> }> {
  const ca = makeKey(await tempDir(t), 'ca', '-t', 'ed25519');
  const sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`] });
  t.after(() => sshd.stop());
  writeFileSync(sshd.authorizedKeysFile, '');
  const signing = ['-I', 'device 7', '-n', sshd.user, '-V', '-1d:20400101000000Z'];
  spawnSync('ssh-keygen', ['-q', '-s', ca, ...signing, `${sshd.clientKey}.pub`]);
  const port = await freePort();
  const yaml = tunnelYaml(sshd, 'backup', `${await freePort()}:localhost:${sshd.port}`);
  const daemon = await startDaemonProcess(t, `tunnels:\n${yaml}metrics: { listen: ${port} }\n`);
  await daemon.untilStatus(({ tunnels: [tunnel] }) => tunnel?.forwards[0]?.verified === 'yes', 'up and verified');
  return { daemon, port, stop: () => sshd.kill() };
}

test('serves a real Prometheus from a real tunnel, and promtool finds nothing to complain of', async (t) => {
  const { daemon, port, stop } = await startTunnel(t);
  const status = await daemon.status();
  promtool(['check', 'metrics'], await createMetrics('prometheus')(() => status));

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
  const ask = async (expression: string): Promise<QueryAnswer | null> => {
    const url = `http://127.0.0.1:${web}/api/v1/query?query=${encodeURIComponent(expression)}`;
    return (await fetch(url).then(
      (response) => response.json(),
      () => null,
    )) as QueryAnswer | null;
  };
  const query = async (expression: string) => (await ask(expression))?.data?.result[0]?.value[1] ?? null;
  await until(async () => (await query('tunneld_tunnel_verified{tunnel="backup"}')) === '1', { what: 'a scrape' });
  assert.equal(await query('tunneld_tunnel_certificate_expiry_timestamp_seconds'), '2208988800');
  assert.equal(await query('tunneld_tunnel_certificate_renewal_due'), '0');
  assert.equal(await query('count(tunneld_tunnel_phase{tunnel="backup"})'), '8');
  for (const { title, targets } of dashboard.panels)
    for (const { expr } of targets) {
      const answer = await ask(filledIn(expr));
      assert.equal(answer?.status, 'success', `${title}: ${expr}: ${answer?.error}`);
      // Without an outage there is none by cause; a rate needs two scrapes.
      if (!/outage/.test(expr)) await until(async () => (await query(filledIn(expr))) !== null, { what: expr });
    }
  await stop();
  await until(async () => (await query('tunneld_tunnel_up{tunnel="backup"}')) === '0', { what: 'the fall' });
  await until(async () => (await query('ALERTS{alertname="TunnelDown"}')) !== null, {
    what: 'the alert to be pending',
  });
});

interface QueryAnswer {
  readonly status: 'success' | 'error';
  readonly error?: string;
  readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

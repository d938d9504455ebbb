import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createMetrics, type ExpositionFormat } from '../../src/metrics/metrics.ts';
import { statusDocument } from '../../src/status/document.ts';
import { processFigures } from '../../src/host/process-figures.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { watchTurns } from '../support/loop-delay.ts';
import { runningTunnel } from '../support/running.ts';

const TUNNELS = 50;
const SCRAPES = 100;

/** Lines of a configuration with all that observes, and what it beats to. */
export async function observed(port: number): Promise<{ readonly yaml: string; readonly monitor: Server }> {
  const monitor = createServer((_, response) => response.end());
  await new Promise<void>((resolve) => monitor.listen(0, '127.0.0.1', resolve));
  const { port: at } = monitor.address() as AddressInfo;
  // One beat comes when the tunnel is up; the next one after the measurement.
  const yaml = `metrics: { listen: 127.0.0.1:${port} }
heartbeat: { url: "http://127.0.0.1:${at}/uuid", every: 1h }
onChange: { command: [/bin/true], after: 1m }
`;
  return { yaml, monitor };
}

/** What scrapes of many tunnels take of the event loop, in milliseconds each: in all, and without a pause. */
export async function scrapes(format: ExpositionFormat): Promise<{
  readonly total: readonly number[];
  readonly longest: readonly number[];
}> {
  const render = createMetrics(format);
  const tunnels = Array.from({ length: TUNNELS }, (_, index) =>
    runningTunnel(`tunnel-${index}`, { phase: 'up', rttMs: 12.5 }, { state: 'up', verified: 'yes' }),
  );
  const about = {
    version: '0',
    pid: 1,
    config: '/c',
    configuration: { problem: null, trial: null },
    problems: [],
    nativeCryptoProblem: null,
    startedAt: 0,
    outagesOf: () => ({
      totals: { 'keepalive-lost': { count: 2, seconds: 9 }, 'network-down': { count: 1, seconds: 60 } },
      last: null,
    }),
  };
  const total: number[] = [];
  const longest: number[] = [];
  for (let scrape = 0; scrape < SCRAPES; scrape++) {
    const watched = watchTurns();
    const times = { now: systemClock.now(), wall: systemClock.wall() };
    await render(() => statusDocument({ ...about, process: processFigures() }, tunnels, times));
    const took = watched();
    total.push(took.total);
    longest.push(took.longest);
  }
  return { total, longest };
}

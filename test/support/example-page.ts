import type { Outage } from '../../src/history/outage.ts';
import type { Past } from '../../src/history/summary.ts';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import type { Counters } from '../../src/model/state.ts';
import type { RunningTunnel } from '../../src/supervisor/supervisor.ts';
import { startPage, type PageFixture } from './page-fixture.ts';
import { runningTunnel } from './running.ts';
import { seeded } from './seeded.ts';

const SERVER = { host: 'relay.example.org', user: 'limited' };
const DAY_MS = 86_400_000;
const STEP_MS = 300_000;

/** A device with three tunnels, one of them down, which has been watched for more than two months; each time the same one. */
export async function startExamplePage(): Promise<PageFixture> {
  const random = seeded(7);
  let shift = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + shift };
  const before = 3 * DAY_MS;
  shift = before;
  const up = (name: string, rttMs: number) =>
    runningTunnel(
      name,
      { phase: 'up', since: clock.now() - 2 * DAY_MS, rttMs },
      { state: 'up', verified: 'yes' },
      SERVER,
    );
  const backup = up('backup', 24);
  const camera = up('camera', 118);
  const cottage = runningTunnel(
    'cottage',
    {
      phase: 'waiting',
      retryAt: clock.now() + DAY_MS + 20_000,
      since: clock.now() + DAY_MS - 60_000,
      failure: {
        code: 'connect-refused',
        message: 'relay.example.org:2222 refused the connection: nothing listens there',
        hint: 'start sshd on the server, or correct the port (tunneld doctor cottage)',
        at: clock.now() + DAY_MS - 200_000,
      },
    },
    {},
    SERVER,
  );
  const tunnels = [backup, cottage, camera];
  const page = await startPage(tunnels, {
    clock,
    pasts: () => Promise.resolve(new Map(pastsOf(random, systemClock.wall()))),
  });
  // A day, in which a connection of the first tunnel carries something now and then.
  for (let step = 0; step < DAY_MS / STEP_MS; step++) {
    shift += STEP_MS;
    sway(backup, random, 24, step % 96 < 24 ? 40e6 : 2e6);
    sway(camera, random, 118, 12e6);
    page.server.changed();
  }
  for (const [port, bytes] of [
    [51_414, 1_204_233],
    [40_022, 88_201_330],
  ] as const)
    backup.state.forwards[0]?.open.add({
      originator: `198.51.100.7:${port}`,
      target: 'localhost:22',
      since: clock.now() - bytes / 40,
      bytesIn: bytes,
      bytesOut: bytes * 3,
    });
  for (const { counters } of backup.state.forwards) Object.assign(counters, { connections: 2 });
  for (const line of logOf(systemClock.wall())) page.memory.add(`${JSON.stringify(line)}\n`);
  return page;
}

function sway({ state }: RunningTunnel, random: () => number, rttMs: number, bytes: number): void {
  Object.assign(state, { rttMs: Math.round(rttMs * (0.9 + 0.4 * random() ** 4)) });
  for (const { counters } of state.forwards)
    Object.assign(counters, {
      bytesIn: counters.bytesIn + Math.round(bytes * random() ** 3),
      bytesOut: counters.bytesOut + Math.round(bytes * 2 * random() ** 2),
      totalConnections: counters.totalConnections + (random() < 0.1 ? 1 : 0),
    } satisfies Partial<Counters>);
}

function pastsOf(random: () => number, now: number): [string, Past][] {
  const outage = (tunnel: string, ago: number, ms: number, cause: Outage['cause']): Outage => ({
    tunnel,
    from: now - ago,
    to: now - ago + ms,
    cause,
    message: '',
    visitors: Math.floor(random() * 3),
    offMs: cause === 'device-off' ? ms : 0,
    ended: 'up',
  });
  const watched = [{ from: now - 68 * DAY_MS, to: now }];
  const some = (tunnel: string, count: number) =>
    Array.from({ length: count }, () =>
      outage(tunnel, random() * 67 * DAY_MS, 2000 * (1 + 400 * random() ** 5), 'keepalive-lost'),
    );
  const sorted = (outages: readonly Outage[]) => outages.toSorted((a, b) => a.from - b.from);
  const power = (tunnel: string) => outage(tunnel, 41.3 * DAY_MS, 5 * 3_600_000, 'device-off');
  return [
    [
      'backup',
      {
        watched,
        outages: sorted([
          ...some('backup', 9),
          power('backup'),
          outage('backup', 0.4 * DAY_MS, 4000, 'keepalive-lost'),
        ]),
      },
    ],
    [
      'camera',
      {
        watched: [{ from: now - 30 * DAY_MS, to: now }],
        outages: sorted(some('camera', 3).filter(({ from }) => from > now - 30 * DAY_MS)),
      },
    ],
    [
      'cottage',
      {
        watched,
        outages: [
          ...sorted([
            ...some('cottage', 30),
            power('cottage'),
            outage('cottage', 0.7 * DAY_MS, 900_000, 'connect-timeout'),
          ]),
          { tunnel: 'cottage', from: now - 200_000, cause: 'connect-refused', message: '', visitors: 1, offMs: 0 },
        ],
      },
    ],
  ];
}

function logOf(now: number) {
  const line = (ago: number, level: number, tunnel: string, msg: string, more = {}) => ({
    level,
    time: now - ago,
    tunnel,
    msg,
    ...more,
  });
  return [
    line(DAY_MS, 30, 'backup', 'up', { server: 'limited@relay.example.org:22', rttMs: 24 }),
    line(5_000_000, 30, 'backup', 'visitor connected', { from: '198.51.100.7:51414' }),
    line(200_000, 40, 'cottage', 'the connection is lost', { code: 'keepalive-lost' }),
    line(199_000, 40, 'cottage', 'relay.example.org:2222 refused the connection: nothing listens there', {
      code: 'connect-refused',
      retryInSeconds: 2,
    }),
    line(60_000, 40, 'cottage', 'relay.example.org:2222 refused the connection: nothing listens there', {
      code: 'connect-refused',
      retryInSeconds: 60,
    }),
  ];
}

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { HistoryDocument, TunnelHistory } from '../../src/history/document.ts';
import { signalAll } from '../support/processes.ts';
import { until } from '../support/until.ts';
import { setUp, type Bench } from './bench.ts';

/** One outage that the lab makes. */
interface Planned {
  readonly name: string;
  /** What it may be called by somebody who only sees the device. */
  readonly causes: readonly string[];
  /** A visit to the dead session's listener would keep it: sshd takes what a visitor says for a sign of life. */
  readonly shy?: boolean;
  /** Begins it and ends it; the answer is when it began (Date.now()). */
  happen(bench: Bench): Promise<number>;
}

interface Made {
  readonly planned: Planned;
  readonly from: number;
  /** When a visitor was served again. */
  readonly to: number;
}

const second = 1000;

/** The daemon is ended first, while all that it has seen is on disk: it writes once a minute. */
const OUTAGES: readonly Planned[] = [
  { name: 'session killed', causes: ['disconnected'], happen: ({ server }) => since(() => server.killSessions()) },
  {
    name: 'session killed, with a visitor',
    causes: ['disconnected'],
    happen: async (bench) => {
      await bench.holdConnections(false);
      return await since(() => bench.server.killSessions());
    },
  },
  { name: 'sshd away for 4 s', causes: ['disconnected'], happen: (bench) => sshdAway(bench, () => wait(4 * second)) },
  {
    name: 'daemon stopped for 3 s',
    causes: ['not-running'],
    happen: async (bench) => {
      const [client] = bench.clients;
      const from = Date.now();
      signalAll(client?.pids().slice(0, 1) ?? [], 'SIGTERM');
      await until(() => client?.pids().every((pid) => !isAlive(pid)), { what: 'the end of the daemon' });
      await wait(3 * second);
      bench.startClients();
      return from;
    },
  },
  {
    name: 'daemon killed',
    causes: ['not-running'],
    happen: async (bench) => {
      await bench.clients[0]?.kill();
      await wait(second);
      // It could not say when it ended.
      return await since(() => bench.startClients());
    },
  },
  {
    name: 'path lost for 15 s',
    causes: ['keepalive-lost'],
    happen: ({ network }) =>
      since(
        () => network.losePath(),
        15 * second,
        () => network.restorePath(),
      ),
  },
  {
    name: 'cable out for 12 s',
    causes: ['keepalive-lost', 'network-down', 'disconnected'],
    happen: ({ network }) =>
      since(
        () => network.setLink(false),
        12 * second,
        () => network.setLink(true),
      ),
  },
  {
    name: "device's address changes",
    shy: true,
    causes: ['disconnected', 'network-down', 'keepalive-lost'],
    happen: ({ network }) => since(() => network.changeAddress()),
  },
  {
    name: 'port taken by another program for 6 s',
    causes: ['disconnected'],
    happen: (bench) =>
      sshdAway(bench, async () => {
        const release = await bench.occupy();
        void wait(6 * second).then(release);
      }),
  },
  {
    name: 'connection silently gone',
    causes: ['keepalive-lost'],
    happen: async ({ network, server }) => {
      for (const flag of ['FIN', 'RST']) {
        const rule = ['-p', 'tcp', '--sport', '22', '--tcp-flags', flag, flag, '-j', 'DROP'];
        network.exec('server', 'iptables', '-A', 'OUTPUT', ...rule);
      }
      return await since(() => server.killSessions());
    },
  },
];

/** How far the two may differ: an interval of the keepalive, and the verification that ends an outage. */
const TOLERANCE_MS = 4 * second;

/** Makes ten outages, one after the other, and compares `tunneld history` with them: npm run lab:history. */
async function main(): Promise<void> {
  const bench = await setUp({
    clients: ['tunneld'],
    tunnel: ['serverAliveInterval: 2', 'reconnect: { max: 2 }'],
    // A server that notices by itself that a device has gone.
    sshd: ['ClientAliveInterval 3', 'ClientAliveCountMax 2'],
  });
  try {
    bench.startClients();
    await bench.untilUp();
    await seen(bench, ({ watchedSince }, now) => watchedSince < now, 'the tunnel to be watched');
    const made: Made[] = [];
    for (const planned of OUTAGES) {
      // Two that follow at once are one.
      await wait(3 * second);
      made.push(await make(bench, planned));
      await seen(
        bench,
        ({ outages }) => outages.length >= made.length && outages.at(-1)?.to !== undefined,
        planned.name,
      );
    }
    print(await command(bench));
    compare(made, await history(bench));
  } finally {
    await bench.destroy();
  }
}

async function make(bench: Bench, planned: Planned): Promise<Made> {
  const from = await planned.happen(bench);
  const observation = await bench.observe(planned.shy);
  await observation.done(90 * second);
  observation.stop();
  const to = bench.clients[0] === undefined ? null : observation.upAt(bench.clients[0]);
  if (to === null)
    throw new Error(`${planned.name}: it does not come back\n${bench.clients[0]?.output().slice(-3000)}`);
  return { planned, from, to };
}

function compare(made: readonly Made[], { outages, longest, day, mostFrequentCause }: TunnelHistory): void {
  print('| what the lab did | cause | began, s later | ended, s later | length, s (lab) |\n|---|---|---|---|---|');
  for (const [index, { planned, from, to }] of made.entries()) {
    const found = outages[index];
    if (found?.to === undefined) continue;
    const late = (iso: string, time: number) => ((Date.parse(iso) - time) / second).toFixed(2);
    const lengths = `${(found.durationMs / second).toFixed(1)} (${((to - from) / second).toFixed(1)})`;
    print(`| ${planned.name} | ${found.cause} | ${late(found.from, from)} | ${late(found.to, to)} | ${lengths} |`);
  }
  assert.equal(outages.length, made.length, JSON.stringify(outages));
  for (const [index, { planned, from, to }] of made.entries()) {
    const { cause, ...found } = outages[index]!;
    assert.ok(planned.causes.includes(cause), `${planned.name}: ${cause}`);
    assert.ok(Math.abs(Date.parse(found.from) - from) <= TOLERANCE_MS, `${planned.name} began at ${found.from}`);
    assert.ok(Math.abs(Date.parse(found.to ?? '') - to) <= TOLERANCE_MS, `${planned.name} ended at ${found.to}`);
  }
  assert.ok(outages[1]!.visitors >= 1, 'the visitor that was cut');
  const down = made.reduce((sum, { from, to }) => sum + to - from, 0);
  assert.equal(day.outages, made.length);
  assert.ok(Math.abs(day.downMs - down) <= made.length * second, `${day.downMs} ms down, not ${down}`);
  assert.equal(longest?.durationMs, Math.max(...outages.map(({ durationMs }) => durationMs)));
  const countOf = (cause: string | undefined) => outages.filter((outage) => outage.cause === cause).length;
  assert.equal(countOf(mostFrequentCause), Math.max(...outages.map(({ cause }) => countOf(cause))));
}

async function since(begin: () => void, lastsMs = 0, end: () => void = () => {}): Promise<number> {
  const from = Date.now();
  begin();
  await wait(lastsMs);
  end();
  return from;
}

async function sshdAway({ server }: Bench, meanwhile: () => Promise<void>): Promise<number> {
  const from = Date.now();
  await server.kill();
  await meanwhile();
  await server.start();
  return from;
}

async function seen(
  bench: Bench,
  condition: (history: TunnelHistory, now: string) => boolean,
  what: string,
): Promise<void> {
  const isSo = async () => {
    await wait(LOOK_MS);
    return condition(await history(bench), new Date().toISOString());
  };
  await until(isSo, { what: () => `${what}:\n${bench.clients[0]?.output().slice(-3000)}` });
}

/** Each look starts a process. */
const LOOK_MS = 300;

async function history(bench: Bench): Promise<TunnelHistory> {
  return (JSON.parse(await command(bench, '--json')) as HistoryDocument).tunnels[0]!;
}

async function command({ clients }: Bench, ...args: readonly string[]): Promise<string> {
  const config = join(dirname(clients[0]!.stateDirectory), 'config.yaml');
  return (await promisify(execFile)(CLI, ['history', '--config', config, ...args])).stdout;
}

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

await main();

import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { tunneldCommand } from './clients.ts';
import { startServer, type LabServer } from './machines.ts';
import { createNetwork, type LabNetwork } from './network.ts';

/**
 * Many daemons with many tunnels each at one sshd with its defaults, which is killed and comes back: how long until all are up
 * again, and how many connections that took. It is killed when all are up, or so many seconds `after` their start, its
 * sessions one after the other with a `gap` of milliseconds, as on a busy machine. Ends with 1 where it takes longer than a minute.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      processes: { type: 'string', default: '20' },
      tunnels: { type: 'string', default: '50' },
      away: { type: 'string', default: '10' },
      after: { type: 'string' },
      gap: { type: 'string', default: '0' },
      patience: { type: 'string', default: '400' },
    },
  });
  const [processes, tunnels, away, patience] = [values.processes, values.tunnels, values.away, values.patience].map(
    Number,
  ) as [number, number, number, number];
  const network = createNetwork();
  const server = await startServer(network);
  const daemons: ChildProcess[] = [];
  try {
    for (let index = 0; index < processes; index += 1) daemons.push(startDaemon(network, server, index, tunnels));
    const all = processes * tunnels;
    if (values.after === undefined) report('from the start', await untilListening(network, all, patience), server, 0);
    else await wait(Number(values.after) * 1000);
    const seen = server.log().length;
    await server.kill(Number(values.gap));
    await wait(away * 1000);
    await server.start();
    const seconds = await untilListening(network, all, patience);
    report(`after ${away} s without sshd`, seconds, server, seen);
    return seconds <= WANTED ? 0 : 1;
  } finally {
    for (const daemon of daemons) daemon.kill('SIGKILL');
    await server.destroy();
    network.destroy();
  }
}

const WANTED = 60;
const FIRST_PORT = 10_000;

function startDaemon(network: LabNetwork, server: LabServer, index: number, tunnels: number): ChildProcess {
  const dir = mkdtempSync(join(server.dir, 'daemon-'));
  const ports = Array.from({ length: tunnels }, (_, tunnel) => FIRST_PORT + index * tunnels + tunnel);
  const own = Object.fromEntries(ports.map((port) => [`t${port}`, { port }]));
  const daemon = network.spawn('device', tunneldCommand(network, server, dir, join(dir, 'state'), own), {
    env: { ...process.env, HOME: dir },
  });
  // What nobody reads would hold it up.
  daemon.stdout?.resume();
  daemon.stderr?.resume();
  return daemon;
}

/** How many seconds until so many of the fleet's listeners are there. */
async function untilListening(network: LabNetwork, wanted: number, patience: number): Promise<number> {
  const started = performance.now();
  for (;;) {
    const seconds = (performance.now() - started) / 1000;
    const ports = network
      .exec('server', 'cat', '/proc/net/tcp')
      .matchAll(/ [0-9A-F]{8}:([0-9A-F]{4}) 00000000:0000 0A /g);
    const count = [...ports].filter(([, port = '']) => Number.parseInt(port, 16) >= FIRST_PORT).length;
    if (count >= wanted) return seconds;
    if (seconds > patience) {
      process.stdout.write(`only ${count} of ${wanted} are up\n`);
      return Number.POSITIVE_INFINITY;
    }
    await wait(250);
  }
}

function report(what: string, seconds: number, server: LabServer, from: number): void {
  const log = server.log().slice(from);
  const count = (pattern: RegExp) => log.match(pattern)?.length ?? 0;
  process.stdout.write(
    `${what}: all up after ${seconds.toFixed(1)} s; ${count(/Connection from/g)} connections, ${count(/Accepted publickey/g)} logins, ${count(/drop connection|Exceeded MaxStartups/g)} dropped\n`,
  );
}

process.exit(await main());

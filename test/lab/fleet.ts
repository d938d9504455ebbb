import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { until } from '../support/until.ts';
import { tunneldCommand } from './clients.ts';
import { startServer, type LabServer } from './machines.ts';
import { createProcessorAccount } from './processor.ts';
import { createNetwork, type LabNetwork } from './network.ts';

/**
 * Many daemons with many tunnels each at one sshd with its defaults, which is killed and comes back: how long until all are up
 * again, how many connections that took, what sshd held against them, and what it cost both sides. It is killed when all are up, or so many
 * seconds `after` their start, its sessions one after the other with a `gap` of milliseconds, as on a busy machine. `addresses` gives each
 * daemon, or each tunnel, an address of its own; `ufw` limits new connections of each address; `root` is the folder of
 * test/support/trixie.sh, whose sshd punishes addresses. Ends with 1 where it takes longer than a minute, or an address was punished.
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
      addresses: { type: 'string', default: 'one' },
      ufw: { type: 'boolean', default: false },
      root: { type: 'string' },
    },
  });
  const [processes, tunnels, away, patience] = [values.processes, values.tunnels, values.away, values.patience].map(
    Number,
  ) as [number, number, number, number];
  const network = await createNetwork();
  const server = await startServer(network, [], values.root ?? null);
  const daemons: ChildProcess[] = [];
  const accounts = { sshd: createProcessorAccount('sshd'), daemons: createProcessorAccount('daemons') };
  try {
    const all = processes * tunnels;
    const addresses = values.addresses === 'one' ? [] : network.addAddresses(all);
    const addressOf = (process: number, tunnel: number) =>
      addresses[values.addresses === 'each' ? process * tunnels + tunnel : process] ?? null;
    if (values.ufw) network.limitConnections('ufw');
    accounts.sshd.add(server.pid());
    const cost = () => ({ sshd: accounts.sshd.seconds(), daemons: accounts.daemons.seconds() });
    for (let index = 0; index < processes; index += 1) {
      const daemon = startDaemon(network, server, index, tunnels, (tunnel) => addressOf(index, tunnel));
      accounts.daemons.add(daemon.pid!);
      daemons.push(daemon);
    }
    if (values.after === undefined)
      report('from the start', await untilListening(network, all, patience), server, 0, cost());
    else await wait(Number(values.after) * 1000);
    const seen = server.log().length;
    await server.kill(Number(values.gap));
    const before = cost();
    await wait(away * 1000);
    await server.start();
    accounts.sshd.add(server.pid());
    const seconds = await untilListening(network, all, patience);
    const after = cost();
    const penalties = report(`after ${away} s without sshd`, seconds, server, seen, {
      sshd: after.sshd - before.sshd,
      daemons: after.daemons - before.daemons,
    });
    if (values.ufw) process.stdout.write(`the firewall turned ${network.turnedAway()} packets away\n`);
    return seconds <= WANTED && penalties === 0 ? 0 : 1;
  } finally {
    const ended = daemons.map((daemon) => new Promise((resolve) => daemon.once('exit', resolve)));
    for (const daemon of daemons) daemon.kill('SIGKILL');
    await Promise.all(ended);
    await server.destroy();
    for (const account of Object.values(accounts))
      await until(() => succeeds(account.destroy), { what: 'the control group' });
    await network.destroy();
  }
}

const WANTED = 60;
const FIRST_PORT = 10_000;

function startDaemon(
  network: LabNetwork,
  server: LabServer,
  index: number,
  tunnels: number,
  addressOf: (tunnel: number) => string | null,
): ChildProcess {
  const dir = mkdtempSync(join(server.dir, 'daemon-'));
  const ports = Array.from({ length: tunnels }, (_, tunnel) => FIRST_PORT + index * tunnels + tunnel);
  const own = Object.fromEntries(
    ports.map((port, tunnel) => {
      const address = addressOf(tunnel);
      return [`t${port}`, { port, options: address === null ? [] : [`bindAddress: ${address}`] }];
    }),
  );
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

/** Returns how often sshd punished an address (PerSourcePenalties of sshd_config(5), which it logs). */
function report(
  what: string,
  seconds: number,
  server: LabServer,
  from: number,
  cpu: { readonly sshd: number; readonly daemons: number },
): number {
  const log = server.log().slice(from);
  const count = (pattern: RegExp) => log.match(pattern)?.length ?? 0;
  const penalties = count(/activating|drop connection.*penalty/g);
  process.stdout.write(
    `${what}: all up after ${seconds.toFixed(1)} s; ${count(/Connection from/g)} connections, ${count(/Accepted publickey/g)} logins, ${count(/drop connection|Exceeded MaxStartups/g)} dropped, ${penalties} penalties; processor: sshd ${cpu.sshd.toFixed(1)} s, daemons ${cpu.daemons.toFixed(1)} s\n`,
  );
  return penalties;
}

/** A group ends with its last process. */
function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

process.exit(await main());

import { setTimeout as wait } from 'node:timers/promises';
import { signalAll } from '../support/processes.ts';
import { setUp, type Bench, type BenchOptions, type Observation } from './bench.ts';
import type { ClientName, LabClient } from './clients.ts';

/** One row of the table: something that happens to a tunnel, and how long it may last until visitors are served again. */
export interface Fault {
  readonly name: string;
  /** Seconds. */
  readonly wanted: number;
  /** Seconds after which a client is said never to recover. */
  readonly patience: number;
  readonly nat?: boolean;
  readonly sshd?: readonly string[];
  /** The clients are not up when it begins. */
  readonly fromTheStart?: boolean;
  /** No connection that was open before may be cut by it. */
  readonly cutsNobody?: boolean;
  /** A stale listener must not be visited while it is looked at: see PROBER. */
  readonly shy?: boolean;
  /** Visitors must be silent: sshd counts what they say for a sign that the client lives, and keeps the port. */
  readonly quiet?: boolean;
  /** The server's firewall lets in so few that the clients must not share an address. */
  readonly limit?: 'ufw' | 'hashlimit';
  /** How many tunnels tunneld has; nobody else takes part. */
  readonly tunnels?: number;
  /** Makes it happen; resolves with the moment (Date.now()) from which on the time counts, or with one for each client. */
  happen(
    bench: Bench,
    observation: () => Promise<Observation>,
  ): Promise<number | ((client: LabClient) => number | null)>;
}

export interface Outcome {
  readonly client: ClientName;
  /** Seconds, or null for never. */
  readonly seconds: number | null;
  /** Whether a connection that was open and busy was cut, where there was one. */
  readonly cut: boolean;
  readonly output: string;
}

const second = 1000;

export const FAULTS: readonly Fault[] = [
  {
    name: "server's session process killed",
    wanted: 0.5,
    patience: 30,
    happen: async ({ server }) => {
      server.killSessions();
      return Date.now();
    },
  },
  {
    name: 'sshd down 10 s, back',
    wanted: 2,
    patience: 30,
    happen: async ({ server }) => {
      await server.kill();
      await wait(10 * second);
      await server.start();
      return Date.now();
    },
  },
  ...([1, 50] as const).map((tunnels) => ({
    name: `sshd down 20 s, back, behind \`ufw limit\`${tunnels === 1 ? '' : `, ${tunnels} tunnels: the last`}`,
    wanted: 35,
    patience: 90,
    limit: 'ufw' as const,
    ...(tunnels === 1 ? {} : { tunnels }),
    happen: async ({ server }: Bench) => {
      await server.kill();
      await wait(20 * second);
      await server.start();
      return Date.now();
    },
  })),
  {
    name: 'path lost 8 s',
    wanted: 6.5,
    patience: 30,
    cutsNobody: true,
    happen: (bench) => losePath(bench, 8),
  },
  {
    name: 'path lost 90 s',
    wanted: 2,
    patience: 60,
    happen: (bench) => losePath(bench, 90),
  },
  {
    name: 'device loses power, comes back; sshd still holds the port',
    wanted: 1.5,
    patience: 45,
    shy: true,
    happen: powerCut,
  },
  {
    name: 'the same behind a NAT router',
    wanted: 1.5,
    patience: 45,
    nat: true,
    shy: true,
    happen: powerCut,
  },
  {
    name: "device's address changes; sshd frees the port after 10-15 s",
    wanted: 2,
    patience: 90,
    sshd: ['ClientAliveInterval 5', 'ClientAliveCountMax 2'],
    shy: true,
    quiet: true,
    happen: async ({ network }, observation) => {
      network.changeAddress();
      const observed = await observation();
      return (client) => observed.freeAt(client);
    },
  },
  {
    name: 'port held by another program, released',
    wanted: 2,
    patience: 45,
    fromTheStart: true,
    happen: async (bench) => {
      const release = await bench.occupy();
      bench.startClients();
      await wait((10 + 10 * Math.random()) * second);
      release();
      return Date.now();
    },
  },
  {
    name: 'network arrives 45 s after the start',
    wanted: 1.5,
    patience: 30,
    fromTheStart: true,
    happen: async (bench) => {
      bench.network.setLink(false);
      bench.startClients();
      await wait(45 * second);
      bench.network.setLink(true);
      return Date.now();
    },
  },
  {
    name: 'machine asleep 40 s, session gone meanwhile',
    wanted: 1,
    patience: 30,
    happen: async ({ clients, server }) => {
      const pids = clients.flatMap((client) => client.pids());
      signalAll(pids, 'SIGSTOP');
      await wait(5 * second);
      server.killSessions();
      await wait(35 * second);
      signalAll(pids, 'SIGCONT');
      return Date.now();
    },
  },
  {
    name: 'the connection silently gone (half-open)',
    wanted: 22,
    patience: 100,
    shy: true,
    happen: async ({ network, server }) => {
      // The server forgets the session and says nothing about it, neither now nor when it is asked.
      for (const flag of ['FIN', 'RST']) {
        const rule = ['-p', 'tcp', '--sport', '22', '--tcp-flags', flag, flag, '-j', 'DROP'];
        network.exec('server', 'iptables', '-A', 'OUTPUT', ...rule);
      }
      const happened = Date.now();
      server.killSessions();
      return happened;
    },
  },
];

interface Chance {
  readonly busy: boolean;
  readonly phase: number;
  readonly lookMs?: number;
}

/** Sets everything up, lets it happen at a moment of chance, and measures. `busy` keeps a connection open through each tunnel. */
export async function runFault(
  fault: Fault,
  clients: readonly ClientName[],
  chance: Chance,
): Promise<readonly Outcome[]> {
  const groups = fault.limit === undefined ? [clients] : clients.map((client) => [client]);
  return (await Promise.all(groups.map((group) => runTogether(fault, group, chance)))).flat();
}

async function runTogether(
  fault: Fault,
  clients: readonly ClientName[],
  { busy, phase, lookMs = 10 }: Chance,
): Promise<readonly Outcome[]> {
  if (fault.tunnels !== undefined && !clients.includes('tunneld')) return [];
  const { nat = false, sshd = [], tunnels = 1 } = fault;
  const options: BenchOptions = { clients: tunnels > 1 ? ['tunneld'] : clients, nat, sshd, tunnels, lookMs };
  const bench = await setUp(options);
  try {
    if (fault.limit !== undefined) bench.network.limitConnections(fault.limit);
    let cutBy: () => readonly ClientName[] = () => [];
    if (fault.fromTheStart !== true) {
      bench.startClients();
      await bench.untilUp();
      if (busy) cutBy = await bench.holdConnections(fault.quiet === true);
      // Whatever was under way to the device has arrived by then.
      await wait(1500 + phase * 15 * second);
    }
    let observation: Promise<Observation> | null = null;
    const observe = () => (observation ??= bench.observe(fault.shy));
    const from = await fault.happen(bench, observe);
    const observed = await observe();
    await observed.done(fault.patience * second);
    // Connections that were cut are seen to be, also where the tunnel itself was quick.
    if (fault.cutsNobody === true) await wait(15 * second);
    const cut = cutBy();
    const outcomes = bench.clients.map((client) => {
      const since = typeof from === 'number' ? from : from(client);
      const up = observed.upAt(client);
      const seconds = up === null || since === null ? null : Math.max(0, (up - since) / 1000);
      return { client: client.name, seconds, cut: cut.includes(client.name), output: client.output() };
    });
    observed.stop();
    return outcomes;
  } finally {
    await bench.destroy();
  }
}

async function losePath({ network }: Bench, seconds: number): Promise<number> {
  network.losePath();
  await wait(seconds * second);
  network.restorePath();
  return Date.now();
}

async function powerCut(bench: Bench, observation: () => Promise<Observation>): Promise<number> {
  await bench.powerCut();
  // What is seen from now on is the listener of the dead session; one that took its place meanwhile would be mistaken for it.
  await observation();
  const back = Date.now();
  bench.startClients();
  return back;
}

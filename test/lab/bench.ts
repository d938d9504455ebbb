import type { ChildProcess } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { PATIENCE_MS, until } from '../support/until.ts';
import { createClient, type ClientName, type LabClient } from './clients.ts';
import { startServer, type LabServer } from './machines.ts';
import { createNetwork, type LabNetwork } from './network.ts';
import { DOWNLOAD, GUESTS, OCCUPANT, PROBER, TARGET } from './programs.ts';

/** The three machines with everything on them, and what can be seen from the server. */
export interface Bench {
  readonly network: LabNetwork;
  readonly server: LabServer;
  readonly clients: readonly LabClient[];
  startClients(): void;
  /** Waits until a visitor of every client's listener is served. */
  untilUp(timeoutMs?: number): Promise<void>;
  /** Resolves when it looks; where `shy`, without a visit to listeners that are there already by then. */
  observe(shy?: boolean): Promise<Observation>;
  /** Visitors that stay and talk, or only stay; the answer tells whose was cut so far. */
  holdConnections(quiet: boolean): Promise<() => readonly ClientName[]>;
  /** Another program takes the listeners' ports on the server; the answer ends it. */
  occupy(): Promise<() => void>;
  /** Has the service send so many bytes through the first client's listener; the answer is how many came. */
  download(bytes: number): Promise<number>;
  /** The device loses power and comes back, everything on it but the clients running again. */
  powerCut(): Promise<void>;
  destroy(): Promise<void>;
}

export interface Observation {
  /** Waits until all are up again or the time is over. */
  readonly done: (withinMs: number) => Promise<void>;
  /** When the last of its tunnels served a visitor. */
  upAt(client: LabClient): number | null;
  /** When its port was first seen without a listener. */
  freeAt(client: LabClient): number | null;
  stop(): void;
}

export interface BenchOptions {
  readonly nat?: boolean;
  readonly sshd?: readonly string[];
  readonly clients: readonly ClientName[];
  /** Further lines of tunneld's configuration of the tunnel. */
  readonly tunnel?: readonly string[];
  /** How many tunnels tunneld has. */
  readonly tunnels?: number;
  /** How often is looked who listens, in milliseconds: the kernel shows it by a walk through all its connections. */
  readonly lookMs?: number;
}

export async function setUp({
  nat = false,
  sshd = [],
  clients: names,
  tunnel = [],
  tunnels = 1,
  lookMs = 10,
}: BenchOptions): Promise<Bench> {
  const network = await createNetwork({ nat });
  const programs = new Set<ChildProcess>();
  const run = (machine: 'device' | 'server', program: string, args: readonly (string | number)[] = []) => {
    const child = network.spawn(machine, [process.execPath, '-e', program, '--', ...args.map(String)]);
    programs.add(child);
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    return { child, lines: () => output.split('\n').slice(0, -1) };
  };
  const startTarget = async () => {
    const target = run('device', TARGET);
    await until(() => target.lines().length > 0, { what: 'the target' });
    return target.child;
  };
  let server: LabServer;
  try {
    server = await startServer(network, sshd);
  } catch (error) {
    await network.destroy();
    throw error;
  }
  const clients = names.map((name) => createClient(name, network, server, { tunnel, tunnels }));
  const ports = clients.map(({ port }) => port);
  let target = await startTarget();

  const observe = async (shy = false): Promise<Observation> => {
    const all = clients.flatMap((client) => client.ports);
    const { child, lines } = run('server', PROBER, [...(shy ? ['shy'] : []), lookMs, ...all]);
    await until(() => lines().includes('watching'), { what: 'somebody who looks' });
    const first = (what: string, port: number) => {
      const line = lines().find((text) => text.startsWith(`${what} ${port} `));
      return line === undefined ? null : Number(line.split(' ')[2]);
    };
    // Of several tunnels the last one counts.
    const upAt = (client: LabClient) => {
      const times = client.ports.map((port) => first('up', port));
      return times.includes(null) ? null : Math.max(...times.map(Number));
    };
    return {
      done: async (withinMs) => {
        const end = performance.now() + withinMs;
        while (performance.now() < end && clients.some((client) => upAt(client) === null)) await wait(lookMs);
      },
      upAt,
      freeAt: ({ port }) => first('free', port),
      stop: () => void child.kill('SIGKILL'),
    };
  };

  return {
    network,
    server,
    clients,
    startClients: () => {
      for (const client of clients) client.start();
    },
    observe,
    untilUp: async (timeoutMs = PATIENCE_MS) => {
      const seen = await observe();
      await seen.done(timeoutMs);
      seen.stop();
      const missing = clients.find((client) => seen.upAt(client) === null);
      if (missing === undefined) return;
      throw new Error(`${missing.name} does not come up:\n${missing.output()}\n${server.log().slice(-3000)}`);
    },
    holdConnections: async (quiet) => {
      const guests = run('server', GUESTS, quiet ? ['quiet', ...ports] : ports);
      await until(() => guests.lines().filter((line) => line.startsWith('in ')).length === ports.length, {
        what: 'the guests',
      });
      return () => clients.filter(({ port }) => guests.lines().includes(`cut ${port}`)).map(({ name }) => name);
    },
    occupy: async () => {
      const occupant = run('server', OCCUPANT, ports);
      await until(() => occupant.lines().length > 0, { what: 'the occupant' });
      await wait(200);
      return () => void occupant.child.kill('SIGKILL');
    },
    download: async (bytes) => {
      const { child, lines } = run('server', DOWNLOAD, [ports[0] ?? 0, bytes]);
      await new Promise((resolve) => child.once('close', resolve));
      return Number(lines()[0]);
    },
    powerCut: async () => {
      network.losePath();
      await Promise.all(clients.map((client) => client.kill()));
      const gone = new Promise((resolve) => target.once('exit', resolve));
      target.kill('SIGKILL');
      await gone;
      network.replaceDevice();
      network.restorePath();
      target = await startTarget();
    },
    destroy: async () => {
      await Promise.all(clients.map((client) => client.kill()));
      for (const program of programs) program.kill('SIGKILL');
      await server.destroy();
      await network.destroy();
    },
  };
}

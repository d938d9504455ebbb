import { connect, type Socket } from 'node:net';
import type { TestSshd } from '../support/sshd.ts';
import { freePort } from '../support/until.ts';
import { startBulk, type Bulk } from './bulk.ts';
import { firstByte, opensshClient, tunneldClient, withRunning } from './clients.ts';
import { exactCpuSeconds } from './process-cost.ts';
import type { Direction } from './throughput.ts';

/** ssh's figures, then ours. */
export type Both = readonly [number[], number[]];

export const LATENCIES = ['connect', 'echo', 'hundred'] as const;

/**
 * What a visitor waits for, beside `ssh -NR`, in turn; milliseconds, but for the processor time of a hundred. A process that Node.js runs is
 * slower at first, until V8 has compiled what is used often: the figures are of one that has served some thousands of visitors, and those
 * whose names begin with "first" are of the first ones after its start.
 */
export interface Latencies {
  /** From connecting to the first byte of the answer. */
  readonly connect: { readonly ms: Both; readonly firstMs: Both };
  /** One byte there and back on an open connection: alone, and beside a transfer without end. */
  readonly echo: { readonly alone: Both; readonly beside: Readonly<Record<Direction, Both>> };
  /** A hundred visitors who come at once: until the last has its answer, and what that costs. */
  readonly hundred: { readonly ms: Both; readonly cpuMs: Both; readonly firstCpuMs: Both };
}

const CONNECTIONS = 1000;
const CONNECTIONS_BEFORE = 5000;
const ECHOES = 2000;
const ECHOES_BEFORE = 4000;
const ECHOES_BESIDE = 150;
const ROUNDS_BESIDE = 4;
const HUNDREDS = 25;
const HUNDREDS_BEFORE = 60;

/** Measures these alone. */
export async function compareLatencies(
  sshd: TestSshd,
  target: number,
  cipher: string,
  which: readonly (keyof Latencies)[],
): Promise<Partial<Latencies>> {
  const bulk = await startBulk();
  const place = async () => ({ port: await freePort(), bulk: await freePort() });
  const places = [await place(), await place()];
  const forwards = places.map((place) => [
    { port: place.port, target },
    { port: place.bulk, target: bulk.target },
  ]);
  const clients = [opensshClient(sshd, forwards[0]!, cipher), tunneldClient(sshd, forwards[1]!, cipher)];
  return await withRunning(clients, async (children) => {
    const ports = clients.map(({ port }) => port);
    const pids = children.map((child) => child.pid!);
    const found: { -readonly [Name in keyof Latencies]?: Latencies[Name] } = {};
    if (which.includes('connect')) found.connect = await compareConnecting(ports);
    if (which.includes('echo')) {
      const alone = await compareEchoes(ports);
      const bulkPorts = places.map((place) => place.bulk);
      const beside = (direction: Direction) => compareBeside(ports, bulkPorts, bulk, direction);
      found.echo = {
        alone,
        beside: { 'to visitor': await beside('to visitor'), 'to target': await beside('to target') },
      };
    }
    if (which.includes('hundred')) found.hundred = await compareHundreds(ports, pids);
    return found;
  }).finally(() => bulk.end());
}

async function compareConnecting(ports: readonly number[]): Promise<Latencies['connect']> {
  const visit = async (count: number): Promise<Both> => {
    const times: Both = [[], []];
    for (let i = 0; i < count; i++)
      for (const index of [0, 1] as const) times[index].push((await firstByte(ports[index]!))!);
    return times;
  };
  const firstMs = await visit(CONNECTIONS);
  await visit(CONNECTIONS_BEFORE - CONNECTIONS);
  return { ms: await visit(CONNECTIONS), firstMs };
}

async function compareEchoes(ports: readonly number[]): Promise<Both> {
  const times: Both = [[], []];
  const echoes = [await openEcho(ports[0]!), await openEcho(ports[1]!)] as const;
  for (let i = 0; i < ECHOES_BEFORE; i++) for (const echo of echoes) await echo.once();
  for (let i = 0; i < ECHOES; i++) for (const index of [0, 1] as const) times[index].push(await echoes[index].once());
  for (const echo of echoes) echo.end();
  return times;
}

async function compareBeside(
  ports: readonly number[],
  bulkPorts: readonly number[],
  bulk: Bulk,
  direction: Direction,
): Promise<Both> {
  const times: Both = [[], []];
  for (let round = 0; round < ROUNDS_BESIDE; round++) {
    for (const index of [0, 1] as const) {
      const echo = await openEcho(ports[index]!);
      const stop = await bulk.pour(bulkPorts[index]!, direction);
      for (let i = 0; i < ECHOES_BESIDE; i++) {
        times[index].push(await echo.once());
        // A person types; only what waits for the transfer is of interest.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await stop();
      echo.end();
    }
  }
  return times;
}

async function compareHundreds(ports: readonly number[], pids: readonly number[]): Promise<Latencies['hundred']> {
  const [ms, cpuMs, firstCpuMs]: [Both, Both, Both] = [
    [[], []],
    [[], []],
    [[], []],
  ];
  for (let round = 0; round < HUNDREDS_BEFORE + HUNDREDS; round++) {
    for (const index of [0, 1] as const) {
      const before = exactCpuSeconds(pids[index]!);
      const started = performance.now();
      const answers = await Promise.all(Array.from({ length: 100 }, () => firstByte(ports[index]!)));
      const took = performance.now() - started;
      if (answers.includes(null)) throw new Error('one of a hundred visitors had no answer');
      // What follows the answers, the end of each connection, is part of the cost.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const spent = (exactCpuSeconds(pids[index]!) - before) * 1000;
      if (round < HUNDREDS) firstCpuMs[index].push(spent);
      if (round < HUNDREDS_BEFORE) continue;
      ms[index].push(took);
      cpuMs[index].push(spent);
    }
  }
  return { ms, cpuMs, firstCpuMs };
}

/** An open connection to a target that sends back what it gets. */
async function openEcho(port: number): Promise<{ once(): Promise<number>; end(): void }> {
  const socket: Socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  socket.on('error', () => {});
  const once = (byte = 'x') =>
    new Promise<number>((resolve, reject) => {
      const started = performance.now();
      const onClose = () => reject(new Error('an echo was lost'));
      socket.once('close', onClose);
      socket.once('data', () => {
        socket.off('close', onClose);
        resolve(performance.now() - started);
      });
      socket.write(byte);
    });
  await once('e');
  return { once: () => once(), end: () => socket.destroy() };
}

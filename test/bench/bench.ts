// tunneld beside `ssh -NR` on one sshd, in turn, so that a noisy machine is noisy for both: `npm run bench`, or parts of it alone, by their
// names: `npm run bench -- connect echo`.
import { spawnSync, type ChildProcess } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { startSshd } from '../support/sshd.ts';
import { freePort, until } from '../support/until.ts';
import { compareData } from './data.ts';
import {
  endClient,
  firstByte,
  opensshClient,
  startToFirstByte,
  tunneldClient,
  withRunning,
  type Client,
} from './clients.ts';
import { compareLatencies, LATENCIES, type Both } from './latency.ts';
import { observed, scrapes } from './observers.ts';
import { bytesToDisk, privateMiB, residentMiB, stateOf, wakeUpsPerSecond } from './process-cost.ts';
import { startTarget } from './throughput.ts';

const CIPHER = 'aes128-gcm@openssh.com';
const STARTS = 9;
const COMMANDS = 15;
const TRANSFER_BYTES = 512 * 1024 * 1024;
const IDLE_SECONDS = 60;
/** What a start brings with it is over by then: memory is given back once, and a minute after it a tunnel has proved itself. */
const SETTLED_SECONDS = 80;
const FIRST_SECONDS = 5;
const MORE_TUNNELS = 20;
const ROUNDS = 3;

const sshd = await startSshd();
const { port: target, server } = await startTarget(TRANSFER_BYTES);
const ssh = opensshClient(sshd, [{ port: await freePort(), target }], CIPHER);
const tunneld = tunneldClient(sshd, [{ port: await freePort(), target }], CIPHER);

print(`${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}, cipher ${CIPHER}\n`);
const busy = loadavg()[0]!;
if (busy > 0.5) print(`The machine is busy (load ${busy.toFixed(1)}): its figures are no verdict.\n`);
const parts: readonly (readonly [string, () => Promise<void>])[] = [
  ['start', compareStarts],
  ...LATENCIES.map((name) => [name, () => compareVisits(name)] as const),
  ['commands', compareCommands],
  ['idle', measureIdle],
  ['many', measureMany],
  ['data', compareBytes],
  ['observers', measureObservers],
];
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => parts.every(([known]) => known !== name));
if (unknown.length > 0) throw new Error(`no part ${unknown.join(', ')}: ${parts.map(([name]) => name).join(', ')}`);
head();
for (const [name, measure] of parts) if (wanted.length === 0 || wanted.includes(name)) await measure();

server.close();
await sshd.stop();

async function compareStarts(): Promise<void> {
  const times = new Map<Client, number[]>([
    [ssh, []],
    [tunneld, []],
  ]);
  const node: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    for (const [client, list] of times) list.push(await startToFirstByte(client));
    node.push(timeOf(process.execPath, ['-e', '0']));
  }
  const own = median(node);
  row(
    'start to first byte through the forward, ms',
    times.get(ssh)!,
    times.get(tunneld)!,
    `<= 2 × ssh + ${own.toFixed(0)} (node -e 0)`,
  );
}

async function compareVisits(name: (typeof LATENCIES)[number]): Promise<void> {
  const { connect, echo, hundred } = await compareLatencies(sshd, target, CIPHER, [name]);
  if (connect !== undefined) {
    tails('connect and first byte, ms', connect.ms, 1.2);
    row('the same, mean', [mean(connect.ms[0])], [mean(connect.ms[1])], '');
    row('the same, the first 1,000 after the start', ...connect.firstMs, '');
  }
  if (echo !== undefined) {
    tails('echo, ms', echo.alone, 1);
    tails('echo beside a transfer to the visitor, ms', echo.beside['to visitor'], 2);
    tails('echo beside a transfer to the target, ms', echo.beside['to target'], 2);
  }
  if (hundred !== undefined) {
    row('100 visitors at once, ms', ...hundred.ms, '');
    row('the same: CPU ms of the client', ...hundred.cpuMs, '<= 1.1 × ssh');
    row('the same, the first 25 times after the start', ...hundred.firstCpuMs, '');
  }
}

function tails(what: string, both: Both, most: number): void {
  row(what, ...both, `<= ${most} × ssh`);
  row('the same, 99th percentile', [percentile99(both[0])], [percentile99(both[1])], '<= 1 × ssh');
}

async function compareBytes(): Promise<void> {
  const { costs, residentMiB: memory } = await compareData(sshd, target, TRANSFER_BYTES);
  for (const { cipher, direction, cpu, speed } of costs) {
    const name = cipher.replace('@openssh.com', '');
    const [cpuWanted, speedWanted] = direction === 'to visitor' ? ['<= 1.05', '>= 1.0'] : ['<= 0.9', '>= 0.95'];
    row(`${direction}, ${name}: CPU s for 10^9 bytes`, ...cpu, cpuWanted);
    row(`the same, MB/s`, ...speed, speedWanted);
  }
  row('memory a minute after (RSS), MiB', null, memory, '<= 60');
}

/** Against a daemon that is up, and against Node alone, which both of them have to start. */
async function compareCommands(): Promise<void> {
  const child = tunneld.start();
  try {
    await until(async () => (await firstByte(tunneld.port)) !== null, { what: 'tunneld to come up' });
    timeCommands();
  } finally {
    await endClient(child);
  }
}

function timeCommands(): void {
  const status: number[] = [];
  const version: number[] = [];
  const node: number[] = [];
  for (let i = 0; i < COMMANDS; i++) {
    status.push(timeOf(...tunneld.command('status')));
    version.push(timeOf(...tunneld.command('--version')));
    node.push(timeOf(process.execPath, ['-e', '0']));
  }
  const own = median(node);
  const wanted = `<= ${(1.5 * own + 100).toFixed(0)} (1.5 × node -e 0, ${own.toFixed(0)}, and 100)`;
  row('tunneld status, ms', null, status, wanted);
  row('tunneld --version, ms', null, version, wanted);
}

/** Milliseconds from starting a program to its successful end. */
function timeOf(program: string, args: readonly string[]): number {
  const started = performance.now();
  const { status, stderr } = spawnSync(program, args);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${String(stderr)}`);
  return performance.now() - started;
}

/** On processes of their own: what a benchmark leaves in a heap is not idle memory. */
async function measureIdle(): Promise<void> {
  await withRunning([ssh, tunneld], async (children) => {
    const early = await settled(children);
    const written = children.map((child) => bytesToDisk(child.pid!));
    const state = stateOf(tunneld.directory);
    const wakeUps = await Promise.all(children.map((child) => wakeUpsPerSecond(child.pid!, IDLE_SECONDS)));
    const memory = children.map((child) => residentMiB(child.pid!));
    const own = children.map((child) => privateMiB(child.pid!));
    row('idle memory (RSS), MiB', [memory[0]!], [memory[1]!], '<= 40');
    row('of it private, MiB', [own[0]!], [own[1]!], '');
    row('idle wake-ups a second', [wakeUps[0]!], [wakeUps[1]!], '<= 0.2');
    row('the same, in the first minute after the start', [early[0]!], [early[1]!], '');
    const bytes = children.map((child, index) => bytesToDisk(child.pid!) - written[index]!);
    row('written to disk while idle, bytes', [bytes[0]!], [bytes[1]!], '0');
    row('state directory changed while idle', null, [stateOf(tunneld.directory) === state ? 0 : 1], '0');
  });
}

/** Wake-ups with tunnels that each have a connection of their own, and with ones that share connections. */
async function measureMany(): Promise<void> {
  const further = [];
  for (let i = 0; i < MORE_TUNNELS; i++) further.push({ port: await freePort(), target });
  const many = tunneldClient(sshd, [{ port: await freePort(), target }], CIPHER, { further });
  const child = many.start();
  try {
    for (const { port } of [many, ...further])
      await until(async () => (await firstByte(port)) !== null, { what: 'all tunnels to come up', timeoutMs: 60_000 });
    const early = await settled([child]);
    const wakeUps = await wakeUpsPerSecond(child.pid!, IDLE_SECONDS);
    row(`idle wake-ups a second, ${1 + MORE_TUNNELS} tunnels`, null, [wakeUps], '<= 0.2');
    row('the same, in the first minute after the start', null, early, '');
  } finally {
    await endClient(child);
  }
}

/** Waits until they are at rest. Returns their wake-ups a second in the first minute, but for the first seconds. */
async function settled(children: readonly ChildProcess[]): Promise<readonly number[]> {
  await seconds(FIRST_SECONDS);
  const early = await Promise.all(children.map((child) => wakeUpsPerSecond(child.pid!, IDLE_SECONDS)));
  await seconds(SETTLED_SECONDS - FIRST_SECONDS - IDLE_SECONDS);
  return early;
}

/** What is seen of tunneld from outside costs nothing until somebody looks. */
async function measureObservers(): Promise<void> {
  const port = await freePort();
  const { yaml, monitor } = await observed(port);
  const off = tunneldClient(sshd, [{ port: await freePort(), target }], CIPHER);
  const on = tunneldClient(sshd, [{ port: await freePort(), target }], CIPHER, { more: yaml });
  const memory: [number[], number[]] = [[], []];
  const wakeUps: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    await withRunning([off, on], async (children) => {
      await seconds(FIRST_SECONDS);
      const woken = await Promise.all(children.map((child) => wakeUpsPerSecond(child.pid!, IDLE_SECONDS)));
      for (const index of [0, 1] as const) {
        wakeUps[index].push(woken[index]! * 60);
        memory[index].push(residentMiB(children[index]!.pid!));
      }
    });
  }
  monitor.close();
  print('\n| what | all off | metrics, heartbeat and onChange on, nobody asks | ratio (medians) | wanted |');
  print('|---|---|---|---|---|');
  row('idle memory (RSS), MiB', ...memory, '<= 4 MiB more');
  row('idle wake-ups a minute', ...wakeUps, 'no more');
  for (const format of ['prometheus', 'openmetrics'] as const) {
    const { total, longest } = await scrapes(format);
    row(`scrape of 50 tunnels (${format}), ms of the event loop`, null, total, '<= 10');
    row('the same, ms without a pause', null, longest, '<= 5');
  }
}

function head(): void {
  print('| what | ssh -NR | tunneld | ratio (medians) | wanted |');
  print('|---|---|---|---|---|');
}

/** `theirs` is null where ssh has nothing like it. */
function row(what: string, theirs: readonly number[] | null, ours: readonly number[], wanted: string): void {
  const ratio = theirs === null || median(theirs) === 0 ? '' : (median(ours) / median(theirs)).toFixed(2);
  print(`| ${what} | ${theirs === null ? '' : summary(theirs)} | ${summary(ours)} | ${ratio} | ${wanted} |`);
}

/** The median, and the extremes that tell how noisy the machine was. */
function summary(values: readonly number[]): string {
  if (values.length === 1) return number(values[0]!);
  return `${number(median(values))} (${number(Math.min(...values))}–${number(Math.max(...values))})`;
}

function number(value: number): string {
  if (value === 0) return '0';
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function percentile99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)]!;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1000));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tunnelYaml } from '../support/daemon-config.ts';
import type { TestSshd } from '../support/sshd.ts';
import { removeAtExit, until } from '../support/until.ts';

/** `sshd` listens on `port`, and visitors are connected to `target`, both on 127.0.0.1. */
export interface BenchForward {
  readonly port: number;
  readonly target: number;
}

/** One of the two that are compared. */
export interface Client {
  readonly name: string;
  /** That of its first forward. */
  readonly port: number;
  start(): ChildProcess;
}

export interface TunneldClient extends Client {
  /** Holds the configuration, the control socket and the state. */
  readonly directory: string;
  /** The program and the arguments of a command that asks this daemon. */
  command(...args: readonly string[]): readonly [string, readonly string[]];
}

/** That of a service: what else a developer's has (NODE_EXTRA_CA_CERTS, say) may cost Node memory. */
const ENV = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

export function opensshClient(sshd: TestSshd, forwards: readonly BenchForward[], cipher: string): Client {
  const knownHosts = writeTemporary('known_hosts', sshd.knownHostsLine('127.0.0.1', sshd.port));
  const options = [
    'BatchMode=yes',
    'ExitOnForwardFailure=yes',
    `UserKnownHostsFile=${knownHosts}`,
    'IdentitiesOnly=yes',
  ];
  const args = [
    '-F',
    'none',
    '-N',
    '-c',
    cipher,
    '-i',
    sshd.clientKey,
    '-p',
    String(sshd.port),
    ...options.flatMap((option) => ['-o', option]),
    ...forwards.flatMap((forward) => ['-R', lineOf(forward)]),
    `${sshd.user}@127.0.0.1`,
  ];
  return { name: 'ssh -NR', port: portOf(forwards), start: () => spawn('ssh', args, { stdio: 'ignore' }) };
}

/** One tunnel, and one for each of the `further` forwards; `more` is added to the configuration. */
export function tunneldClient(
  sshd: TestSshd,
  forwards: readonly BenchForward[],
  cipher: string,
  { more = '', further = [] }: { readonly more?: string; readonly further?: readonly BenchForward[] } = {},
): TunneldClient {
  const directory = benchDirectory();
  const config = join(directory, 'config.yaml');
  const tunnels = [['bench', forwards] as const, ...further.map((one, index) => [`further-${index}`, [one]] as const)];
  writeFileSync(
    config,
    `tunnels:
${tunnels.map(([name, own]) => tunnelYaml(sshd, name, `[${own.map(lineOf).join(', ')}]`, `    ciphers: ${cipher}\n`)).join('')}network: { ping: [] }
log: { level: warn }
control: { socket: ${join(directory, 'control.sock')} }
stateDirectory: ${directory}
${more}`,
  );
  return {
    name: 'tunneld',
    port: portOf(forwards),
    directory,
    command: (...args) => [CLI, ['--config', config, ...args]],
    // By its first line, as it runs when installed: that names a flag for node.
    start: () => spawn(CLI, ['run', '--config', config], { stdio: ['ignore', 'ignore', 'inherit'], env: ENV }),
  };
}

function lineOf({ port, target }: BenchForward): string {
  return `${port}:127.0.0.1:${target}`;
}

function portOf([first]: readonly BenchForward[]): number {
  return first!.port;
}

/** Starts them, does the work with their processes as soon as all have served a visitor, and ends them. */
export async function withRunning<T>(
  clients: readonly Client[],
  work: (children: readonly ChildProcess[]) => Promise<T>,
): Promise<T> {
  const children = clients.map((client) => client.start());
  try {
    for (const { name, port } of clients)
      await until(async () => (await firstByte(port)) !== null, { what: `${name} to come up` });
    return await work(children);
  } finally {
    await Promise.all(children.map(endClient));
  }
}

/** Ends a client that we started. */
export async function endClient(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await exited;
}

/** Milliseconds from opening a connection to its first byte, or null where it was refused or closed. */
export function firstByte(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const started = performance.now();
    const socket = connect(port, '127.0.0.1', () => socket.write('?'));
    socket.setNoDelay(true);
    socket.once('data', () => {
      resolve(performance.now() - started);
      socket.destroy();
    });
    socket.once('error', () => resolve(null));
    socket.once('close', () => resolve(null));
  });
}

/** Milliseconds from starting the client to the first byte through it. */
export async function startToFirstByte(client: Client): Promise<number> {
  const started = performance.now();
  const child = client.start();
  try {
    for (;;) {
      if ((await firstByte(client.port)) !== null) return performance.now() - started;
      if (performance.now() - started > 20_000) throw new Error(`${client.name} does not come up`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  } finally {
    await endClient(child);
    await untilRefused(client.port);
  }
}

/** The listener of a client that ended must be gone before the next one asks for it. */
async function untilRefused(port: number): Promise<void> {
  while ((await firstByte(port)) !== null) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 100));
}

function benchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tunneld-bench-'));
  removeAtExit(directory);
  return directory;
}

function writeTemporary(name: string, text: string): string {
  const file = join(benchDirectory(), name);
  writeFileSync(file, `${text.trimEnd()}\n`);
  return file;
}

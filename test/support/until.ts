import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>;

/**
 * How long is waited for what is to come in the end, in milliseconds: enough for a machine that is slow or has much else to do, and less than
 * the minute after which a tunnel would do by itself what most tests want to see done sooner.
 */
export const PATIENCE_MS = 45_000;

/**
 * Asks `probe` again and again until its answer is truthy, and returns that answer. A probe that throws has not answered yet, and one that
 * hangs is not waited for longer than the others.
 */
export async function until<T>(
  probe: () => T | Promise<T>,
  { what, timeoutMs = PATIENCE_MS }: { what: string | (() => string); timeoutMs?: number },
): Promise<Truthy<T>> {
  const began = performance.now();
  const deadline = began + timeoutMs;
  let cancel = () => {};
  const late = new Promise<Error>((resolve) => {
    const timer = setTimeout(() => resolve(new Error('the question was still open')), timeoutMs + HANGS_MS);
    cancel = () => clearTimeout(timer);
  });
  try {
    for (;;) {
      const asked = performance.now();
      const seen = await Promise.race([ask(probe), late]);
      if (!(seen instanceof Error) && isTruthy(seen.answer)) return seen.answer;
      const now = performance.now();
      if (now >= deadline) {
        const wanted = typeof what === 'string' ? what : what();
        const last = seen instanceof Error ? seen : seen.answer;
        throw new Error(`waited ${timeoutMs} ms in vain for ${wanted}; last seen: ${String(last)}`, { cause: last });
      }
      await new Promise((resolve) => setTimeout(resolve, pauseAfter(now - began, now - asked)));
    }
  } finally {
    cancel();
  }
}

async function ask<T>(probe: () => T | Promise<T>): Promise<{ readonly answer: T } | Error> {
  try {
    return { answer: await probe() };
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/**
 * What comes soon is seen soon; what takes long is asked for less often, and a question that starts a program takes no more than half of the
 * time: the machine is to do what is waited for.
 */
function pauseAfter(waitedMs: number, probeMs: number): number {
  return Math.max(SHORTEST_PAUSE_MS, Math.min(waitedMs / 10, LONG_PAUSE_MS), Math.min(probeMs, LONGEST_PAUSE_MS));
}

const [SHORTEST_PAUSE_MS, LONG_PAUSE_MS, LONGEST_PAUSE_MS] = [10, 50, 500];

/** From the end of the patience on, for a probe that was asked just before it. */
const HANGS_MS = 5000;

function isTruthy<T>(value: T): value is Truthy<T> {
  return Boolean(value);
}

/**
 * A TCP port that is free on both loopback addresses, and that no other test gets. No connection of an earlier test has it either: not every
 * server listens where one has not been forgotten yet (TIME_WAIT).
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 10 * BLOCK; tries++) {
    const port = await ownPort();
    const batch = Math.floor(port / BATCH);
    if (batch !== looked) [looked, remembered] = [batch, rememberedPorts()];
    if (remembered.has(port)) continue;
    if ((await canListen(port, '127.0.0.1')) && (await canListen(port, '::1'))) return port;
  }
  throw new Error(`no free port between ${FIRST} and ${LAST}`);
}

/** So many ports in a row, which only this process may take, are looked up at once: the kernel goes through all its sockets to answer. */
export const BATCH = 50;
let looked = -1;
let remembered: ReadonlySet<number> = new Set();

/** Whether the kernel knows a socket with that local port, in whatever state. */
export function isRemembered(port: number): boolean {
  return rememberedPorts().has(port);
}

/** The local ports of all sockets, as Linux has them: proc_net_tcp(5). */
function rememberedPorts(): ReadonlySet<number> {
  const files = ['/proc/net/tcp', '/proc/net/tcp6'].filter((file) => existsSync(file));
  const lines = files.flatMap((file) => [
    ...readFileSync(file, 'latin1').matchAll(/^ *\d+: [0-9A-F]+:([0-9A-F]{4}) /gm),
  ]);
  return new Set(lines.map(([, port]) => parseInt(port!, 16)));
}

/**
 * A TCP port that no other test gets, though a program that is no test may have it. It lies below the ephemeral range (32768 on Linux, 49152 on
 * macOS), so that no outgoing connection takes it before the caller listens, nor while a server is being restarted; and what still dials it
 * when its server is gone meets nobody, where the system would give it to the server of another test.
 */
export async function ownPort(): Promise<number> {
  if (next % BLOCK === 0) next = await takeBlock();
  return next++;
}

/** Below those at which an audit listens for a moment, by chance (UNPRIVILEGED) or because they are near the tunnel's, a hundred above at most. */
const [FIRST, LAST, BLOCK, APART] = [10_000, 20_000, 100, 200];
const BLOCKS = (LAST - FIRST) / APART;
/** Those of this process, by their first ports. */
const blocks: number[] = [];
let next = 0;

/** Its first port, kept as long as this process lives, says to other test files that the others are taken. */
async function takeBlock(): Promise<number> {
  const start = Math.floor(Math.random() * BLOCKS);
  for (let tries = 0; tries < BLOCKS; tries++) {
    const port = FIRST + ((start + tries) % BLOCKS) * APART;
    const server = createServer().unref();
    const taken = new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(true));
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(false));
    });
    if (await taken) continue;
    blocks.push(port);
    return port + 1;
  }
  // What the earlier tests of this file had is free again.
  const oldest = blocks.shift();
  if (oldest !== undefined) {
    blocks.push(oldest);
    return oldest + 1;
  }
  throw new Error(`all ports between ${FIRST} and ${LAST} belong to other test files`);
}

/** Whether no program listens there: true also where the address itself does not exist (a container without IPv6). */
export function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Whether a program listens on this Unix socket: its file is there a moment earlier. */
export function connects(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** A directory of its own for the test, which goes with the tests of this file. */
export async function tempDir(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tunneld-test-'));
  t.after(() => removeAtExit(path));
  return path;
}

/**
 * Removes it when the tests of this file are over. Those of one test are no good time: what it has said to do afterwards is done in the order
 * in which it said so, and a directory is there before the programs that write into it, which then are still to be ended.
 */
export function removeAtExit(path: string): void {
  if (doomed.push(path) > 1) return;
  process.once('exit', () => {
    for (const one of doomed) rmSync(one, { recursive: true, force: true, maxRetries: 10 });
  });
}

const doomed: string[] = [];

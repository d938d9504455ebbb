import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>;

/** Asks `probe` again and again until its answer is truthy, and returns that answer. A probe that throws has not answered yet. */
export async function until<T>(
  probe: () => T | Promise<T>,
  { what, timeoutMs = 10_000 }: { what: string | (() => string); timeoutMs?: number },
): Promise<Truthy<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let seen: unknown;
    try {
      const answer = await probe();
      if (isTruthy(answer)) return answer;
      seen = answer;
    } catch (error) {
      seen = error;
    }
    if (performance.now() >= deadline) {
      const wanted = typeof what === 'string' ? what : what();
      throw new Error(`waited ${timeoutMs} ms in vain for ${wanted}; last seen: ${String(seen)}`, { cause: seen });
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const POLL_MS = 10;

function isTruthy<T>(value: T): value is Truthy<T> {
  return Boolean(value);
}

/**
 * A TCP port that is free on both loopback addresses. It lies below the ephemeral range (32768 on Linux, 49152 on macOS),
 * so that no outgoing connection takes it before the caller listens, nor while a server is being restarted.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    if ((await canListen(port, '127.0.0.1')) && (await canListen(port, '::1'))) return port;
  }
  throw new Error('no free port between 12000 and 32000');
}

/** True also where the address itself does not exist (a container without IPv6). */
function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A directory of its own for the test, removed after it. */
export async function tempDir(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tunneld-test-'));
  // A program that the test has not ended yet may still write into it.
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 5 }));
  return path;
}

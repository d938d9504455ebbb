import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort, tempDir, until } from './until.ts';
import { visit } from './visit.ts';

/** An HTTP proxy that lets everybody, or a user with a password, through to one port. */
export async function startTinyproxy(t: TestContext, allowedPort: number, password = true): Promise<number> {
  const port = await freePort();
  const file = join(await tempDir(t), 'tinyproxy.conf');
  const lines = [
    `Port ${port}`,
    'Listen 127.0.0.1',
    'Timeout 600',
    ...(password ? ['BasicAuth me secret'] : []),
    `ConnectPort ${allowedPort}`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  await startProgram(t, 'tinyproxy', ['-d', '-c', file], port);
  return port;
}

/** A SOCKS 5 proxy. */
export async function startMicrosocks(t: TestContext, flags: readonly string[] = []): Promise<number> {
  const port = await freePort();
  await startProgram(t, 'microsocks', ['-i', '127.0.0.1', '-p', `${port}`, ...flags], port);
  return port;
}

/** A line to a port on which so many bytes a second go up (see slow-line.py). */
export async function startSlowLine(t: TestContext, to: number, bytesPerSecond: number): Promise<number> {
  const port = await freePort();
  const program = fileURLToPath(new URL('slow-line.py', import.meta.url));
  await startProgram(t, '/usr/bin/python3', [program, `${port}`, `${to}`, `${bytesPerSecond}`], port);
  return port;
}

async function startProgram(t: TestContext, program: string, args: readonly string[], port: number): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (text) => (said += String(text)));
  child.stderr.on('data', (text) => (said += String(text)));
  child.on('error', (error) => (said += error.message));
  t.after(() => child.kill('SIGKILL'));
  await until(() => visit(port, '').then(() => true), { what: () => `${program}: ${said}` });
}

/**
 * What a thousand visitors cost who all stop at once, in a daemon as it is shipped: `npm run bench:stalled -- [VISITORS]`. First the target of
 * each reads nothing while the visitor sends; then the visitor reads nothing while the target sends.
 */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { listen } from '../support/listen.ts';
import { pour } from '../support/pour.ts';
import { startSshd } from '../support/sshd.ts';
import { freePort, until } from '../support/until.ts';
import { endClient, firstByte, tunneldClient } from './clients.ts';
import { privateMiB, residentMiB } from './process-cost.ts';

const VISITORS = Number(process.argv[2] ?? 1000);
assert.ok(VISITORS > 0 && VISITORS <= 1000, 'usage: npm run bench:stalled -- [VISITORS], at most 1000');
const PIECE = Buffer.alloc(64 * 1024, 7);
/** All have stopped when for so long no byte has moved, in milliseconds. */
const STILL_MS = 5000;
/** Until what a load left may be gone, in milliseconds. */
const QUIET_MS = 60_000;

process.stdout.write('| what | RSS, MiB | private, MiB | KiB for each visitor |\n|---|---|---|---|\n');
for (const sender of ['visitor', 'target'] as const) await measure(sender);

async function measure(sender: 'visitor' | 'target'): Promise<void> {
  const sshd = await startSshd();
  const atTarget: Socket[] = [];
  const visitors: Socket[] = [];
  let comes = false;
  const target = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    if (comes) atTarget.push(socket);
    else socket.end('!');
  });
  const forward = { port: await freePort(), target: await listen(target, '127.0.0.1') };
  const client = tunneldClient(sshd, [forward], 'aes128-gcm@openssh.com');
  const child = client.start();
  try {
    await until(async () => (await firstByte(client.port)) !== null, { what: 'tunneld to come up' });
    comes = true;
    await new Promise((resolve) => setTimeout(resolve, STILL_MS));
    const idle = row('idle', child.pid!, 0);
    while (visitors.length < VISITORS) {
      visitors.push(await visitor(client.port));
      await until(() => atTarget.length === visitors.length, { what: 'the visitor at the target' });
    }
    row(`${VISITORS} visitors who say nothing`, child.pid!, idle);
    let sent = 0;
    const senders = sender === 'visitor' ? visitors : atTarget;
    for (const socket of senders) pour(socket, PIECE, () => (sent += PIECE.length));
    await untilStill(() => sent);
    const what = sender === 'visitor' ? 'their targets read nothing' : 'they read nothing';
    row(`the same: ${what}, ${Math.round(sent / 1024 ** 2)} MiB are on their way`, child.pid!, idle);
    for (const socket of [...visitors, ...atTarget]) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    row('a minute after they left', child.pid!, idle);
  } finally {
    for (const socket of [...visitors, ...atTarget]) socket.destroy();
    await endClient(child);
    target.close();
    await sshd.stop();
  }
}

function visitor(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket.pause())).once('error', reject);
    socket.on('error', () => {});
  });
}

async function untilStill(count: () => number): Promise<void> {
  for (let [last, since] = [-1, performance.now()]; performance.now() - since < STILL_MS;) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (count() !== last) [last, since] = [count(), performance.now()];
  }
}

/** Prints a line, and gives the private memory. */
function row(what: string, pid: number, idle: number): number {
  const own = privateMiB(pid);
  const each = idle === 0 ? '' : (((own - idle) * 1024) / VISITORS).toFixed(0);
  process.stdout.write(`| ${what} | ${residentMiB(pid).toFixed(1)} | ${own.toFixed(1)} | ${each} |\n`);
  return own;
}

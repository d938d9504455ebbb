/**
 * Many bytes through one tunnel, half in each direction and both at once, checksummed where they leave and where they arrive, while the
 * server renews the keys every 100 MB: `npm run bench:volume -- [GB]`, 100 without a number.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { listen } from '../support/listen.ts';
import { startSshd } from '../support/sshd.ts';
import { freePort, until } from '../support/until.ts';
import { endClient, firstByte, tunneldClient } from './clients.ts';
import { cpuSeconds, residentMiB } from './process-cost.ts';

const GB = 1e9;
/** Bytes in both directions. */
const RENEWED_AFTER = 100e6;
const PIECE = 256 * 1024;
/** Random bytes again and again. Their number is prime, so that no two pieces of the first 10^13 bytes are the same. */
const BYTES = randomBytes(67_108_859);
/** When for so long not a byte arrives, in milliseconds, the tunnel hangs. */
const HANGS_MS = 60_000;
/** So many lines tell of the way. */
const STEPS = 20;

interface Moved {
  bytes: number;
  digest: string | null;
}

interface Way {
  readonly sent: Moved;
  readonly received: Moved;
}

const total = Number(process.argv[2] ?? 100) * GB;
assert.ok(total > 0, 'usage: npm run bench:volume -- [GB]');
// sshd counts each direction by itself, and renews the keys of both when one has reached the limit.
const sshd = await startSshd({ config: ['LogLevel DEBUG1', `RekeyLimit ${RENEWED_AFTER / 2}`] });
let failure: Error | null = null;
let atTarget: { readonly received: Moved; readonly sent: Moved } | null = null;
const target = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', fail);
  socket.once('data', (first: Buffer) => {
    if (first.toString('latin1') === '?') return void socket.end('!');
    atTarget = { received: receive(socket, first), sent: send(socket, total / 2) };
  });
});
const forward = { port: await freePort(), target: await listen(target, '127.0.0.1') };
const client = tunneldClient(sshd, [forward], 'aes128-gcm@openssh.com');
const child = client.start();
try {
  await until(async () => (await firstByte(client.port)) !== null, { what: 'tunneld to come up' });
  const visitor = connect({ port: client.port, host: '127.0.0.1', allowHalfOpen: true });
  visitor.on('error', fail);
  const atVisitor = { received: receive(visitor), sent: send(visitor, total / 2) };
  await until(() => atTarget !== null, { what: 'the connection at the target' });
  await watch([
    { sent: atVisitor.sent, received: atTarget!.received },
    { sent: atTarget!.sent, received: atVisitor.received },
  ]);
} finally {
  await endClient(child);
  target.close();
  await sshd.stop();
}

function fail(error: Error): void {
  failure ??= error;
}

/** Sends so many bytes, hashed as they leave, and then the end. */
function send(socket: Socket, bytes: number): Moved {
  const moved: Moved = { bytes: 0, digest: null };
  const hash = createHash('sha256');
  const pump = () => {
    while (moved.bytes < bytes) {
      const from = moved.bytes % BYTES.length;
      const piece = BYTES.subarray(from, from + Math.min(PIECE, bytes - moved.bytes));
      moved.bytes += piece.length;
      hash.update(piece);
      if (!socket.write(piece)) return;
    }
    socket.off('drain', pump);
    socket.end();
    moved.digest = hash.digest('hex');
  };
  socket.on('drain', pump);
  pump();
  return moved;
}

/** Counts and hashes what comes in, until its end; `first` is what came before. */
function receive(socket: Socket, first: Buffer = Buffer.alloc(0)): Moved {
  const moved: Moved = { bytes: first.length, digest: null };
  const hash = createHash('sha256').update(first);
  socket.on('data', (data: Buffer) => {
    moved.bytes += data.length;
    hash.update(data);
  });
  socket.once('end', () => (moved.digest = hash.digest('hex')));
  return moved;
}

/** Prints how it goes, until all is there; then compares what left with what arrived. */
async function watch(ways: readonly Way[]): Promise<void> {
  const pid = child.pid!;
  const started = performance.now();
  const cpuBefore = cpuSeconds(pid);
  const arrived = () => ways.reduce((sum, { received }) => sum + received.bytes, 0);
  const resident: number[] = [];
  print('| seconds | GB | renewals of keys | RSS, MiB | CPU s per GB |');
  print('|---|---|---|---|---|');
  let [last, lastAt, step] = [0, performance.now(), 0];
  while (ways.some(({ received }) => received.digest === null)) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    if (failure !== null) throw failure;
    assert.equal(child.exitCode, null, 'tunneld has ended');
    const now = performance.now();
    const bytes = arrived();
    if (bytes > last) [last, lastAt] = [bytes, now];
    assert.ok(now - lastAt < HANGS_MS, `not a byte for ${HANGS_MS / 1000} s, after ${bytes}`);
    resident.push(residentMiB(pid));
    if (bytes < (total * step) / STEPS) continue;
    step = Math.floor((bytes / total) * STEPS) + 1;
    const cpu = (cpuSeconds(pid) - cpuBefore) / (bytes / GB);
    const columns = [(now - started) / 1000, bytes / GB, renewals(), resident.at(-1)!, cpu];
    print(`| ${columns.map((value) => Number(value.toFixed(2))).join(' | ')} |`);
  }
  for (const { sent, received } of ways) assert.deepEqual(received, sent);
  const logins = sshd.log().match(/Accepted publickey/g)?.length;
  assert.equal(logins, 1, 'one connection all the time');
  assert.ok(renewals() >= (0.9 * total) / RENEWED_AFTER, `${renewals()} renewals`);
  const sorted = resident.toSorted((a, b) => a - b);
  const [least, median, most] = [0, 0.5, 1].map((share) => sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(1));
  print(
    `${total / GB} GB whole, in one connection, with ${renewals()} renewals of keys; RSS ${least}, ${median}, ${most} MiB (least, median, most)`,
  );
}

/** sshd says it once for what it sends, and once for what it receives. */
function renewals(): number {
  return (sshd.log().match(/set_newkeys: rekeying/g)?.length ?? 0) / 2;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { unacknowledged } from '../../../src/host/tcp-queue.ts';
import type { DeviceSocket } from '../../../src/net/streams/device-socket.ts';
import { connectNative } from '../../../src/net/streams/native-socket.ts';
import { peek } from '../../../src/net/streams/peek-stream.ts';
import { splice } from '../../../src/forwarding/visitors/splice.ts';
import type { Channel } from '../../../src/connection/ssh/connection.ts';
import { createTransport } from '../../../src/net/transport.ts';
import { listen } from '../../support/listen.ts';
import { until } from '../../support/until.ts';

for (const side of ['channel', 'socket'] as const) {
  test(
    `passes on an end of the ${side} that came while its first bytes were looked at`,
    { timeout: 60_000 },
    async (t) => {
      const { channel, visitor, socket, target } = await joinable(t);
      const [speaker, looked, hearer] =
        side === 'channel' ? [visitor, channel, target] : ([target, socket, visitor] as const);
      speaker.end();
      // Nothing came but the end, and who looks reads it.
      assert.equal((await peek(looked, 10, () => false, new AbortController().signal)).length, 0);
      assert.equal(looked.readableEnded, true);
      const spliced = await join(t, channel, socket);
      await once(hearer.resume(), 'end');
      // The other way is still open.
      hearer.end('the answer');
      assert.equal(await text(speaker), 'the answer');
      assert.equal(await spliced.ended, 'closed');
    },
  );
}

test('makes the sender wait when pieces are many and small, as with large ones', { timeout: 60_000 }, async (t) => {
  const { channel, socket, target } = await joinable(t);
  await join(t, channel, socket);
  let heard = 0;
  target.on('data', (chunk: Buffer) => (heard += chunk.length));
  let pieces = 0;
  while (!channel.isPaused() && pieces < 10_000) {
    channel.emit('data', Buffer.from('x'));
    pieces += 1;
  }
  assert.ok(pieces < 1000, `${pieces} pieces wait`);
  await until(() => heard === pieces && !channel.isPaused(), { what: 'all of them, and more' });
});

test('has nothing wait that the system takes, though a read brings more than may wait', async (t) => {
  const { channel, socket, target } = await joinable(t);
  await join(t, channel, socket);
  let heard = 0;
  target.on('data', (chunk: Buffer) => (heard += chunk.length));
  const piece = Buffer.alloc(32 * 1024);
  for (let i = 0; i < 15; i++) {
    channel.emit('data', piece);
    assert.ok(!channel.isPaused(), `${i}`);
  }
  await until(() => heard === 15 * piece.length, { what: 'all of it' });
});

test(
  'ends by its own bug alone, also where data comes past the events of the channel',
  { timeout: 60_000 },
  async (t) => {
    const { channel, visitor, socket, target } = await joinable(t);
    for (const other of [visitor, target]) other.on('error', () => {});
    let chunks = 0;
    const spliced = await join(t, channel, socket, () => {
      chunks += 1;
      if (chunks > 1) throw new Error('a bug of a test');
    });
    visitor.write('first');
    await until(() => channel.onLent != null, { what: 'the first bytes' });
    channel.onLent?.(Buffer.from('second'), 0, 6);
    assert.equal(await spliced.ended, 'a bug');
    assert.match(String(spliced.bug()), /a bug of a test/);
  },
);

test('reads no more at once than the channel says', async (t) => {
  const { channel, target, port } = await toTarget(t);
  const reads: number[] = [];
  Object.assign(channel, {
    mostAtOnce: () => 1000,
    sendNow: (_memory: Buffer, start: number, end: number) => {
      reads.push(end - start);
      return end - start;
    },
  });
  await join(t, channel, (await connectNative('127.0.0.1', port, systemClock))!);
  (await target).write(Buffer.alloc(100_000));
  const sum = () => reads.reduce((all, one) => all + one, 0);
  await until(() => sum() === 100_000, { what: 'all of it' });
  assert.equal(Math.max(...reads), 1000);
});

async function join(t: TestContext, channel: Channel, socket: DeviceSocket, count = () => {}) {
  const [below] = await pair(t);
  const transport = createTransport(below, { addresses: null, direct: false }, systemClock);
  return splice(channel, socket, {
    visitor: 'channel',
    transport,
    clock: systemClock,
    unacknowledged,
    count,
  });
}

/** Two pairs of sockets: one end of the first stands for the channel. */
async function joinable(t: TestContext) {
  const [visitor, end] = await pair(t);
  const [target, socket] = await pair(t);
  const channel: Channel = Object.assign(end, { close: () => void end.destroy() });
  return { channel, visitor, socket, target };
}

/** A channel, and the port of a target for it. */
async function toTarget(t: TestContext) {
  const [, end] = await pair(t);
  const server = createServer();
  const target = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const port = await listen(server);
  t.after(async () => {
    server.close();
    (await target).destroy();
  });
  const channel: Channel = Object.assign(end, { close: () => void end.destroy() });
  return { channel, target, port };
}

async function pair(t: TestContext): Promise<readonly [Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const port = await listen(server);
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const far = await accepted;
  server.close();
  t.after(() => [near, far].forEach((socket) => socket.destroy()));
  return [near, far];
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemClock } from '../../../src/lib/async/clock.ts';
import {
  afterRead,
  forLater,
  HEADROOM,
  isLent,
  keepLent,
  mayKeepLent,
  readerOf,
  readIntoLent,
  watchReturns,
  type Reader,
  type Take,
} from '../../../src/net/streams/lent-memory.ts';
import { listen } from '../../support/listen.ts';
import { pattern } from '../../support/echo.ts';
import { until } from '../../support/until.ts';

test('is a stream like any other until somebody reads directly, and then again', async (t) => {
  const { socket, reader, peer } = await opened(t, 'own');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const heard = () => Buffer.concat(chunks).toString();
  peer.write('one');
  await until(() => heard() === 'one', { what: 'the first' });
  let direct = '';
  reader.direct((memory, start, end) => (direct += memory.toString('latin1', start, end)));
  peer.write('two');
  await until(() => direct === 'two', { what: 'the second' });
  reader.direct(null);
  peer.end('three');
  await once(socket, 'end');
  assert.deepEqual([heard(), direct], ['onethree', 'two']);
});

test('keeps the order where the stream still holds what came before', async (t) => {
  const { socket, reader, peer } = await opened(t, 'own');
  socket.once('readable', () => {});
  peer.write('first');
  await until(() => socket.readableLength === 5, { what: 'what waits' });
  let direct = '';
  reader.direct((memory, start, end) => (direct += memory.toString('latin1', start, end)));
  peer.write('second');
  await until(() => socket.readableLength === 11, { what: 'it to wait behind' });
  assert.deepEqual([String(socket.read()), direct], ['firstsecond', '']);
});

test('reads on only after the other sockets had their turn, where shared memory is filled', async (t) => {
  const { socket, reader, peer } = await opened(t, 'shared');
  const other = await opened(t, 'shared');
  other.reader.direct(() => {});
  t.after(() => other.reader.direct(null));
  const { full, most, take, pour } = fullReads(peer);
  reader.direct(take);
  pour();
  await until(() => full() >= 20, { what: 'reads that fill it' });
  assert.equal(most(), 1);
  socket.pause();
  const before = full();
  pour();
  await turn();
  await turn();
  assert.equal(full(), before);
  socket.resume();
  await until(() => full() > before, { what: 'it to be read on' });
});

for (const [what, mayWait, atOnce] of [
  ['some times', true, 4],
  ['once, where somebody waits', false, 1],
] as const)
  test(`reads a socket with memory of its own ${what}, before the others have their turn`, async (t) => {
    const { reader, peer } = await opened(t, 'own');
    const { full, most, take, pour } = fullReads(peer, 128 * 1024);
    reader.direct(take, { most: () => 128 * 1024, mayWait: () => mayWait });
    pour();
    await until(() => full() >= 200, { what: 'full reads' });
    assert.ok(most() <= atOnce, `${most()}`);
  });

/** Counts the reads that are full, and of how many the largest number in a turn of the event loop is; fills the socket again and again. */
function fullReads(peer: Socket, bytes: number | null = null) {
  let full = 0;
  let inTurn = 0;
  let most = 0;
  const take: Take = (memory, start, end) => {
    if (end - start < (bytes ?? memory.length - start)) return;
    full += 1;
    if (inTurn === 0) setImmediate(() => (inTurn = 0));
    inTurn += 1;
    most = Math.max(most, inTurn);
  };
  const chunk = Buffer.alloc(4 * 1024 * 1024);
  const pour = () => peer.write(chunk, (error) => error == null && full < 200 && pour());
  return { full: () => full, most: () => most, take, pour };
}

for (const whose of ['own', 'shared'] as const) {
  test(`brings every byte in order in ${whose} memory, which is used again at once`, async (t) => {
    watchReturns((memory) => memory.fill(0xdb));
    t.after(() => watchReturns(null));
    const { socket, reader, peer } = await opened(t, whose);
    const sent = pattern(1, 3_000_000);
    const got: Buffer[] = [];
    const memories = new Set<unknown>();
    reader.direct((memory, start, end) => {
      assert.ok(start >= HEADROOM);
      memories.add(memory.buffer);
      got.push(Buffer.from(memory.subarray(start, end)));
    });
    socket.resume();
    peer.end(sent);
    await once(socket, 'end');
    assert.ok(Buffer.concat(got).equals(sent));
    assert.ok(memories.size <= 2, `${memories.size}`); // a small one first
  });
}

test('leaves alone what is kept, and lends no more than eight pieces of it', async (t) => {
  watchReturns((memory) => memory.fill(0xdb));
  t.after(() => watchReturns(null));
  const { socket, reader, peer } = await opened(t, 'own');
  const kept: Buffer[] = [];
  const releases: (() => void)[] = [];
  const may: boolean[] = [];
  reader.direct((memory, start, end) => {
    const bytes = memory.subarray(start, end);
    assert.ok(isLent(bytes));
    may.push(mayKeepLent());
    if (!mayKeepLent()) return;
    afterRead(() => {
      releases.push(keepLent());
      assert.ok(!isLent(bytes));
      keepLent()(); // no second one for the same read
    });
    kept.push(bytes);
  });
  socket.resume();
  for (let i = 0; i < 10; i++) {
    peer.write(`piece ${i}`);
    await until(() => may.length === i + 1, { what: `piece ${i}` });
  }
  assert.deepEqual(may, [...Array(8).fill(true), false, false]);
  assert.deepEqual(
    kept.map(String),
    [...Array(8).keys()].map((i) => `piece ${i}`),
  );
  for (const release of releases) {
    release();
    release();
  }
  peer.write('again');
  await until(() => may.length === 11, { what: 'the last' });
  assert.equal(may.at(-1), true);
  for (const release of releases) release();
});

test('never lets shared memory be kept', async (t) => {
  const { socket, reader, peer } = await opened(t, 'shared');
  let may: boolean | null = null;
  let later: Buffer = Buffer.alloc(0);
  reader.direct((memory, start, end) => {
    may = mayKeepLent();
    later = forLater(memory, start, end);
    assert.notEqual(later.buffer, memory.buffer);
  });
  socket.resume();
  peer.write('x');
  await until(() => may !== null, { what: 'a read' });
  assert.deepEqual([may, String(later)], [false, 'x']);
  const own = Buffer.from('abc');
  assert.equal(forLater(own, 1, 2).buffer, own.buffer);
});

test('stops within a read where it is paused, and goes on where it is resumed', async (t) => {
  const { socket, reader, peer } = await opened(t, 'own');
  const got = { bytes: 0, reads: 0 };
  reader.direct((_memory, start, end) => {
    got.bytes += end - start;
    got.reads += 1;
    socket.pause();
  });
  socket.resume();
  peer.write(Buffer.alloc(1_000_000));
  await until(() => got.reads === 1, { what: 'the first read' });
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(got.reads, 1);
  while (got.bytes < 1_000_000) {
    const before = got.reads;
    socket.resume();
    await until(() => got.reads > before, { what: 'the next read' });
  }
});

test('destroys the socket, and does what is for after the read, when who reads throws', async (t) => {
  const { socket, reader, peer } = await opened(t, 'own');
  const cause = new Error('a bug');
  const after: string[] = [];
  reader.direct(() => {
    afterRead(() => {
      after.push('first');
      throw new Error('another');
    });
    afterRead(() => after.push('second'));
    throw cause;
  });
  const failed = once(socket, 'error');
  socket.resume();
  peer.write('x');
  const [error] = (await failed) as [Error];
  assert.equal(error.cause, cause);
  assert.deepEqual(after, ['first', 'second']);
  assert.equal(socket.destroyed, true);
  assert.equal(isLent(Buffer.alloc(1)), false);
});

test('calls what is for after the read behind it, and else at the end of the tick', async (t) => {
  const { socket, reader, peer } = await opened(t, 'own');
  const order: string[] = [];
  reader.direct(() => {
    process.nextTick(() => order.push('tick'));
    afterRead(() => {
      order.push('after');
      afterRead(() => order.push('after that'));
    });
    order.push('read');
  });
  socket.resume();
  peer.write('x');
  await until(() => order.length === 4, { what: 'all' });
  assert.deepEqual(order, ['read', 'after', 'after that', 'tick']);
  let called = false;
  afterRead(() => (called = true));
  assert.equal(called, false);
  await turn();
  assert.equal(called, true);
});

async function opened(t: TestContext, whose: 'own' | 'shared') {
  const server = createServer();
  const port = await listen(server, '127.0.0.1');
  const accepted = once(server, 'connection');
  const { onread, attach } = readIntoLent(whose, systemClock);
  const socket = connect({ host: '127.0.0.1', port, onread });
  attach(socket);
  await once(socket, 'connect');
  const [peer] = (await accepted) as [Socket];
  peer.on('error', () => {});
  t.after(() => {
    socket.destroy();
    peer.destroy();
    server.close();
  });
  return { socket, peer, reader: readerOf(socket) as Reader };
}

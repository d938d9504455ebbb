import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:os';
import { connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { loadAddon } from '../../../src/lib/addon.ts';
import { isLent, keepLent, readerOf, readIntoLent, watchReturns } from '../../../src/net/streams/lent-memory.ts';
import { lentWrites } from '../../../src/net/streams/lent-writes.ts';
import { listen } from '../../support/listen.ts';
import { pattern } from '../../support/echo.ts';
import { until } from '../../support/until.ts';

test('sends every byte in order, what a slow reader leaves for the stream too', async (t) => {
  watchReturns((memory) => memory.fill(0xdb));
  t.after(() => watchReturns(null));
  const { source, from, to, sink } = await opened(t);
  let past = 0;
  let rest = 0;
  const writes = lentWrites(to, (bytes) => {
    rest += bytes.length;
    to.write(Buffer.from(bytes));
  })!;
  readerOf(from)!.direct((memory, start, end) => {
    // More pieces than leave at once, and now and then one that is not lent.
    for (let at = start; at < end; at += PIECE) {
      const piece = memory.subarray(at, Math.min(end, at + PIECE));
      if (at % 7 === 0) {
        const copy = Buffer.from(piece);
        assert.equal(writes.take(copy), false);
        to.write(copy);
      } else if (writes.take(piece)) past += piece.length;
      else to.write(Buffer.from(piece));
    }
    if (to.writableLength > 1_000_000) from.pause();
  });
  to.on('drain', () => from.resume());
  const sent = pattern(1, 20_000_000);
  source.end(sent);
  await until(() => rest > 0 && from.isPaused(), { what: 'more than the kernel takes' });
  const got = buffer(sink);
  await once(from.resume(), 'end');
  to.end();
  assert.ok((await got).equals(sent));
  assert.ok(past > 0);
});

test('sends behind a read, or where it is asked to, and nothing of a socket that has ended', async (t) => {
  const { source, from, to, sink } = await opened(t);
  const writes = lentWrites(to, () => assert.fail('all is taken at once'))!;
  const waited: number[] = [];
  readerOf(from)!.direct((memory, start, end) => {
    assert.equal(writes.take(memory.subarray(start, end)), true);
    waited.push(writes.waiting());
    if (memory[start] === '2'.charCodeAt(0)) writes.flush();
    if (memory[start] === '3'.charCodeAt(0)) {
      // Who keeps the memory leaves it as it is.
      keepLent()();
      assert.equal(isLent(memory), false);
    }
    if (memory[start] === '4'.charCodeAt(0)) to.end();
    waited.push(writes.waiting());
  });
  from.resume();
  let heard = '';
  sink.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  for (const [word, all] of [
    ['1', '1'],
    ['22', '122'],
    ['3', '1223'],
  ] as const) {
    source.write(word);
    await until(() => heard === all, { what: word });
  }
  source.write('4');
  await once(sink, 'end');
  assert.equal(heard, '1223');
  assert.deepEqual(waited, [1, 1, 2, 0, 1, 1, 1, 1]);
});

test('refuses pieces that are not within the memory, and says what is wrong with a descriptor', () => {
  const { send } = loadAddon().addon!;
  const wrong = { code: 'WRONG_ARGUMENT' };
  const memory = Buffer.alloc(10);
  for (const pieces of [
    [11, 0],
    [0, 11],
    [5, 6],
    [2 ** 32 - 1, 2],
  ])
    assert.throws(() => send(999_999, memory, new Uint32Array(pieces), 1), wrong);
  assert.throws(() => send(999_999, memory, new Uint32Array([0, 1]), 2), wrong);
  assert.throws(() => send(-1, memory, new Uint32Array([0, 1]), 1), wrong);
  assert.throws(() => send(2 ** 31, memory, new Uint32Array([0, 1]), 1), wrong);
  assert.throws(() => send(999_999, {} as Buffer, new Uint32Array([0, 1]), 1), wrong);
  assert.throws(() => send(999_999, memory, new Float64Array(2) as unknown as Uint32Array, 1), wrong);
  assert.equal(send(999_999, memory, new Uint32Array([0, 10, 10, 0]), 2), -constants.errno.EBADF);
});

const PIECE = 700;

/** What is written to `source` is read by `from`, and what is written to `to` comes out of `sink`. */
async function opened(t: TestContext) {
  const server = createServer({ allowHalfOpen: true });
  t.after(() => server.close());
  const port = await listen(server, '127.0.0.1');
  const pair = async () => {
    const accepted = once(server, 'connection');
    const { onread, attach } = readIntoLent('own', systemClock);
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, onread });
    attach(socket);
    await once(socket, 'connect');
    const [peer] = (await accepted) as [Socket];
    t.after(() => [socket, peer].forEach((one) => one.destroy()));
    return [socket, peer] as const;
  };
  const [from, source] = await pair();
  const [to, sink] = await pair();
  return { source, from, to, sink };
}

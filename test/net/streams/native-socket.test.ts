import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { loadAddon, type Addon } from '../../../src/lib/addon.ts';
import type { DeviceSocket } from '../../../src/net/streams/device-socket.ts';
import { guardListeners, ListenerError } from '../../../src/net/streams/guard-listeners.ts';
import { isOneReader, readerOf, type Take } from '../../../src/net/streams/lent-memory.ts';
import { connectNative, NativeSocket } from '../../../src/net/streams/native-socket.ts';
import { pattern } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { until } from '../../support/until.ts';

const KINDS: Record<string, (port: number) => Promise<DeviceSocket>> = {
  'a socket of Node.js': async (port) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return guardListeners(socket);
  },
  'a native one': async (port) => (await connectNative('127.0.0.1', port, systemClock))!,
};

for (const [kind, open] of Object.entries(KINDS)) {
  test(`${kind}: passes on every byte in both directions, as slowly as either side reads`, async (t) => {
    const { socket, peer } = await opened(t, open);
    const [there, back] = [Buffer.alloc(20_000_000, pattern(1, 65_537)), Buffer.alloc(5_000_000, pattern(2, 65_537))];
    const arrived = allOf(peer);
    peer.end(back);
    const chunks: Buffer[] = [];
    let sent = 0;
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      socket.pause();
      setImmediate(() => socket.resume());
    });
    for (let at = 0; at < there.length; at += 50_000)
      socket.write(there.subarray(at, at + 50_000), () => (sent += 50_000));
    assert.ok(socket.writableLength > 0, 'the kernel does not take all of it');
    socket.end();
    assert.ok((await arrived).equals(there));
    await until(() => socket.closed, { what: 'the close' });
    assert.ok(Buffer.concat(chunks).equals(back));
    assert.deepEqual([sent, socket.writableLength], [there.length, 0]);
  });

  test(`${kind}: reads into memory that is lent, where a reader takes it`, async (t) => {
    const { socket, peer } = await opened(t, open);
    const reader = readerOf(socket);
    if (reader === null) return assert.ok(kind !== 'a native one');
    const chunks: Buffer[] = [];
    socket.on('data', () => assert.fail('the reader takes it'));
    const take: Take = (memory, start, end) => void chunks.push(Buffer.from(memory.subarray(start, end)));
    reader.direct(take, { most: () => 10_000 });
    const all = Buffer.alloc(3_000_000, pattern(3, 65_537));
    peer.end(all);
    await once(socket as Socket, 'end');
    assert.ok(Buffer.concat(chunks).equals(all));
    assert.equal(Math.max(...chunks.map(({ length }) => length)), 10_000);
    const other = readerOf((await opened(t, open)).socket)!;
    assert.ok(isOneReader());
    other.direct(() => {});
    assert.ok(!isOneReader());
    for (const one of [reader, other]) one.direct(null);
    assert.ok(isOneReader());
  });

  test(`${kind}: tells the end once, also while much is still to be sent`, async (t) => {
    const { socket, peer, events } = await opened(t, open);
    socket.resume();
    peer.end();
    await once(socket as Socket, 'end');
    const all = Buffer.alloc(20_000_000, pattern(4, 65_537));
    socket.write(all);
    assert.ok(socket.writableLength > 0, 'the kernel does not take all of it');
    socket.end();
    assert.ok((await allOf(peer)).equals(all));
    await until(() => events.includes('close'), { what: 'the close' });
    assert.deepEqual(events, ['end', 'finish', 'close']);
  });

  test(`${kind}: closes when both sides have ended, whichever is first`, async (t) => {
    for (const first of ['socket', 'peer'] as const) {
      const { socket, peer, events } = await opened(t, open);
      socket.resume();
      if (first === 'peer') {
        peer.end();
        await once(socket as Socket, 'end');
        assert.deepEqual([socket.readableEnded, socket.writable, socket.closed], [true, true, false]);
        socket.write(Buffer.from('late'));
        socket.end();
      } else {
        socket.write(Buffer.from('early'));
        socket.end();
        assert.deepEqual([socket.writable, socket.writableEnded], [false, true]);
      }
      const got = await allOf(peer);
      assert.equal(String(got), first === 'peer' ? 'late' : 'early');
      peer.end();
      await until(() => events.includes('close'), { what: 'the close' });
      assert.deepEqual(events.toSorted(), ['close', 'end', 'finish']);
      assert.equal(events.at(-1), 'close');
      assert.deepEqual([socket.destroyed, socket.writableFinished], [true, true]);
    }
  });

  test(`${kind}: keeps what comes while it is paused, the end too`, async (t) => {
    const { socket, peer, events } = await opened(t, open);
    const chunks: Buffer[] = [];
    socket.pause();
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    peer.end('kept');
    await once(peer, 'finish');
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    assert.deepEqual([chunks.length, events], [0, []]);
    socket.resume();
    await once(socket as Socket, 'end');
    assert.equal(Buffer.concat(chunks).toString(), 'kept');
  });

  test(`${kind}: tells of a reset, behind what came before it`, async (t) => {
    const { socket, peer, events } = await opened(t, open);
    let read = '';
    socket.on('data', (chunk: Buffer) => (read += String(chunk)));
    peer.write('before');
    await until(() => read === 'before', { what: 'the data' });
    const failed = once(socket as Socket, 'error') as Promise<[NodeJS.ErrnoException]>;
    const closed = new Promise<void>((resolve) => socket.once('close', resolve));
    peer.resetAndDestroy();
    const [error] = await failed;
    assert.deepEqual([error.code, error.syscall, error.message], ['ECONNRESET', 'read', 'read ECONNRESET']);
    await closed;
    assert.deepEqual(events, ['error', 'close']);
  });

  test(`${kind}: resets the connection, and tells whoever waits for a write`, async (t) => {
    const { socket } = await opened(t, open);
    let told = 0;
    for (let i = 0; i < 200; i++) socket.write(Buffer.alloc(100_000), () => (told += 1));
    assert.ok(told < 200);
    socket.resetAndDestroy();
    assert.deepEqual([socket.destroyed, socket.writable], [true, false]);
    await until(() => socket.closed && told === 200, { what: 'all of them' });
    socket.write(Buffer.from('late'), () => (told += 1));
    await until(() => told === 201, { what: 'who writes later' });
    const other = await opened(t, open);
    const failed = once(other.peer.resume(), 'error') as Promise<[NodeJS.ErrnoException]>;
    other.socket.resetAndDestroy();
    assert.equal((await failed)[0].code, 'ECONNRESET');
  });

  test(`${kind}: writes what is corked when it is uncorked or ended`, async (t) => {
    for (const release of ['uncork', 'end'] as const) {
      const { socket, peer } = await opened(t, open);
      let got = '';
      peer.on('data', (chunk) => (got += String(chunk)));
      socket.cork();
      socket.write(Buffer.from('a'));
      socket.write(Buffer.from('b'));
      assert.equal(socket.writableLength, 2);
      await new Promise(setImmediate);
      assert.equal(got, '');
      socket[release]();
      await until(() => got === 'ab', { what: 'both' });
      socket.destroy();
    }
  });

  test(`${kind}: ends by itself where a listener throws, and no other does`, async (t) => {
    const { socket, peer } = await opened(t, open);
    const other = await opened(t, open);
    let got = '';
    other.socket.on('data', (chunk: Buffer) => (got += String(chunk)));
    const bug = new Error('a bug');
    socket.on('data', () => {
      throw bug;
    });
    const failed = once(socket as Socket, 'error') as Promise<[Error]>;
    peer.write('x');
    other.peer.write('y');
    const [error] = await failed;
    assert.ok(error instanceof ListenerError);
    assert.equal(error.cause, bug);
    await until(() => socket.closed && got === 'y', { what: 'its close, and the data of the other' });
  });
}

test('a native one: tells of a reset right behind data, which libuv takes for an end', async (t) => {
  const { socket, peer, events } = await opened(t, KINDS['a native one']!);
  let read = '';
  socket.pause();
  socket.on('data', (chunk: Buffer) => (read += String(chunk)));
  peer.write('before');
  await new Promise(setImmediate);
  peer.resetAndDestroy();
  await once(peer, 'close');
  socket.resume();
  await until(() => socket.closed, { what: 'the close' });
  assert.deepEqual([read, events], ['before', ['error', 'close']]);
});

test('native sockets: hundreds at once, each with its own bytes, and no descriptor is left', async (t) => {
  const before = descriptors();
  const server = createServer({ allowHalfOpen: true }, (peer) => peer.pipe(peer));
  const port = await listen(server);
  t.after(() => server.close());
  for (let round = 0; round < 3; round++) {
    const answers = Array.from({ length: 300 }, async (_, index) => {
      const socket = await connectNative('127.0.0.1', port, systemClock);
      assert.ok(socket !== null);
      let got = '';
      socket.on('data', (chunk: Buffer) => (got += String(chunk)));
      socket.write(Buffer.from(`${round}-${index}`));
      socket.end();
      await once(socket, 'close');
      return got;
    });
    assert.deepEqual(
      await Promise.all(answers),
      answers.map((_, index) => `${round}-${index}`),
    );
  }
  await until(() => descriptors() <= before + 3, { what: () => `the descriptors: ${descriptors()}, ${before} before` });
});

test('is null where nobody listens, and for what is no address', async () => {
  const server = createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  assert.equal(await connectNative('127.0.0.1', port, systemClock), null);
  assert.equal(await connectNative('localhost', port, systemClock), null);
  assert.equal(await connectNative('fe80::1%lo', port, systemClock), null);
});

/** Without an iterator, which destroys the stream at its end. */
async function allOf(peer: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  peer.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(peer, 'end');
  return Buffer.concat(chunks);
}

test('waits a moment for one that opens, as on a busy machine', async () => {
  for (const [answers, expected] of [
    [[1], true],
    [[0, 1], true],
    [[0, -111], false],
    [[-111], false],
  ] as const) {
    const left: number[] = [...answers];
    const watched: boolean[] = [];
    const addon = { isOpen: () => left.shift(), closeSocket: () => {} } as unknown as Addon;
    const poll = {
      watch: (_fd: number, _id: number, writable: boolean) => watched.push(writable) > 0,
      pollBusily: () => 0,
    };
    const socket = new NativeSocket(addon, poll, 7, { address: '127.0.0.1', port: 1 }, systemClock);
    const opens = socket.opens(systemClock);
    socket.handle(WRITABLE);
    assert.equal(await opens, expected);
    assert.deepEqual([left, watched], [[], answers[0] === 0 ? [true] : []]);
    socket.destroy();
  }
});

test('returns to the event loop from one that always has a little more', () => {
  const asked: boolean[] = [];
  const read = (_fd: number, _memory: Buffer, _start: number, _end: number, soon: boolean) => {
    asked.push(soon);
    assert.ok(asked.length < 100, 'it goes on without end');
    return soon ? 1 - 2 * 2 ** 20 : 1;
  };
  const addon = { read, closeSocket: () => {} } as unknown as Addon;
  const poll = { watch: () => true, pollBusily: () => 0 };
  const socket = new NativeSocket(addon, poll, 7, { address: '127.0.0.1', port: 1 }, systemClock);
  socket.on('error', (error: Error) => assert.fail(error));
  socket.on('data', () => {});
  for (let i = 0; i < 3; i++) socket.handle(READABLE);
  assert.deepEqual(asked, [true, false, true, false, true, false]);
  socket.destroy();
});

const READABLE = 1;
const WRITABLE = 2;

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

async function opened(t: TestContext, open: (port: number) => Promise<DeviceSocket>) {
  const server = createServer({ allowHalfOpen: true });
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const port = await listen(server);
  const socket = await open(port);
  const events: string[] = [];
  for (const event of ['end', 'finish', 'error', 'close']) socket.on(event, () => events.push(event));
  const peer = await accepted;
  peer.on('error', () => {});
  server.close();
  t.after(() => {
    socket.destroy();
    peer.destroy();
  });
  return { socket, peer, events };
}

test('tells without sleeping what is ready, that something else is to be done, or that the time is over', async (t) => {
  const { addon } = loadAddon();
  const table = new Uint32Array(2);
  const { watch, pollBusily } = addon!.createPoll(table, () => {})!;
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const port = await listen(server);
  const fd = addon!.connect('127.0.0.1', port);
  const peer = await accepted;
  server.close();
  t.after(() => {
    addon!.closeSocket(fd, true);
    peer.destroy();
  });
  assert.equal(watch(fd, 5, false), true);
  // Once what the opening left to be done is done.
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(pollBusily(50), -1);
  // A busy machine may deliver later than the longest time.
  const told = () => {
    const until = performance.now() + 10_000;
    for (;;) {
      const count = pollBusily(1000);
      if (count !== -1 || performance.now() > until) return count;
    }
  };
  peer.write('x');
  assert.equal(told(), 1);
  assert.deepEqual([...table], [5, READABLE]);
  assert.equal(pollBusily(50), -1, 'it is told once');

  addon!.send(fd, Buffer.from('x'), new Uint32Array([0, 1]), 1);
  assert.equal(told(), 0, 'Node.js has something to read');
  for (const wrong of [-1, 1001, 'x'] as number[]) assert.throws(() => pollBusily(wrong), { code: 'WRONG_ARGUMENT' });
});

test('passes on what is small before it looks for more, and misses nothing behind it', async (t) => {
  const { socket, peer } = await opened(t, KINDS['a native one']!);
  const chunks: string[] = [];
  let ended = false;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk.toString('latin1'));
    // It comes while this is passed on.
    if (chunks.length === 1) peer.end('second');
    for (const end = performance.now() + 20; performance.now() < end;);
  });
  socket.on('end', () => (ended = true));
  peer.write('first');
  await until(() => ended, { what: 'the end' });
  assert.deepEqual(chunks, ['first', 'second']);
});

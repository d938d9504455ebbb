import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { HANDSHAKE_MS, negotiate, SocksError } from '../../../src/forwarding/visitors/socks-handshake.ts';
import { reply, type ReplyCode } from '../../../src/forwarding/visitors/socks-parser.ts';
import { fakeClock } from '../../support/clock.ts';
import { listen } from '../../support/listen.ts';
import { until } from '../../support/until.ts';

const patient = new AbortController().signal;

const CHOSEN = Buffer.of(5, 0);
const SOCKS5 = Buffer.from('\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x00\x50', 'latin1');
const SOCKS4 = Buffer.from('\x04\x01\x00\x50\x0a\x00\x00\x01me\x00', 'latin1');
const SOCKS4A = Buffer.from('\x04\x01\x00\x50\x00\x00\x00\x01me\x00example.org\x00', 'latin1');

describe('a client that asks for a connection', { concurrency: 8 }, () => {
  const requests = [
    ['SOCKS 5', SOCKS5, 5, 'example.org'],
    ['SOCKS 4', SOCKS4, 4, '10.0.0.1'],
    ['SOCKS 4a', SOCKS4A, 4, 'example.org'],
  ] as const;
  for (const [title, request, version, host] of requests) {
    for (const size of [1, 2, 7, 1000]) {
      test(`reads ${title}, in pieces of ${size}`, async (t) => {
        const { client, served } = await pair(t);
        const heard = buffer(client);
        const asked = negotiate(served, systemClock, patient);
        await trickle(client, request, size);
        const { answer, ...target } = await asked;
        assert.deepEqual(target, { host, port: 80 });
        answer('granted');
        client.end('hello');
        assert.equal(await collect(served), 'hello');
        served.end('welcome');
        assert.deepEqual(
          await heard,
          Buffer.concat([chosen(version), reply(version, 'granted'), Buffer.from('welcome')]),
        );
      });

      for (const outcome of ['forbidden', 'refused', 'unreachable', 'failed'] as const) {
        test(`answers ${title}, in pieces of ${size}, with: ${outcome}`, async (t) => {
          const { client, served } = await pair(t);
          const heard = buffer(client);
          const asked = negotiate(served, systemClock, patient);
          await trickle(client, request, size);
          (await asked).answer(outcome);
          assert.deepEqual(await heard, Buffer.concat([chosen(version), reply(version, outcome)]));
          client.end();
          await until(() => served.closed, { what: 'the close' });
        });
      }
    }
  }

  test('waits for each answer, and speaks first afterwards', async (t) => {
    const { client, served } = await pair(t);
    const asked = negotiate(served, systemClock, patient);
    client.write(SOCKS5.subarray(0, 3));
    assert.deepEqual((await once(client, 'data'))[0], CHOSEN);
    client.write(SOCKS5.subarray(3));
    (await asked).answer('granted');
    assert.deepEqual((await once(client, 'data'))[0], reply(5, 'granted'));
    client.end('late');
    assert.equal(await collect(served), 'late');
  });

  test('counts only the first answer when there are two', async (t) => {
    const { client, served } = await pair(t);
    const asked = negotiate(served, systemClock, patient);
    client.end(SOCKS4);
    const { answer } = await asked;
    answer('granted');
    answer('failed');
    answer('granted');
    served.resume().end('x');
    assert.deepEqual(await buffer(client), Buffer.concat([reply(4, 'granted'), Buffer.from('x')]));
  });
});

describe('what comes after the request', { concurrency: 8 }, () => {
  const readers: readonly [title: string, read: (stream: Duplex) => Promise<string>][] = [
    ['an iterator', (stream) => text(stream)],
    ['a listener', (stream) => collect(stream)],
    ['a pipe', (stream) => text(stream.pipe(new PassThrough()))],
    ['a listener and resume', (stream) => collect(stream.resume())],
  ];
  for (const [title, read] of readers) {
    for (const [what, rest] of [
      ['nothing', ''],
      ['a little', 'hello'],
      ['much', 'hello '.repeat(100_000)],
    ] as const) {
      // oxfmt-ignore
      for (const wait of [false, true]) {
        test(`passes on ${what}, and the end: read by ${title}${wait ? ' later' : ''}`, async (t) => {
          const { client, served } = await pair(t);
          const asked = negotiate(served, systemClock, patient);
          client.end(Buffer.concat([SOCKS5, Buffer.from(rest)]));
          const { answer } = await asked;
          if (wait) await pause();
          answer('granted');
          const got = await read(served);
          assert.equal(got.length, rest.length);
          assert.equal(got, rest);
        });

        test(`passes on ${what}, and the end, all there at the beginning: read by ${title}${wait ? ' later' : ''}`, async () => {
          const stream = duplex();
          stream.push(Buffer.concat([SOCKS4A, Buffer.from(rest)]));
          stream.push(null);
          const { answer } = await negotiate(stream, systemClock, patient);
          if (wait) await pause();
          answer('granted');
          assert.equal(await read(stream), rest);
        });
      }
    }
  }

  test('is not read before a reader wants it', async (t) => {
    const { client, served } = await pair(t);
    const asked = negotiate(served, systemClock, patient);
    client.write(SOCKS5);
    const { answer } = await asked;
    const flood = Buffer.alloc(32 << 20);
    client.write(flood);
    await pause(200);
    assert.ok(served.readableLength <= 256 * 1024, `${served.readableLength} bytes were read`);
    client.end();
    answer('granted');
    let received = 0;
    for await (const chunk of served) received += (chunk as Buffer).length;
    assert.equal(received, flood.length);
  });
});

describe('a client that is refused', { concurrency: 8 }, () => {
  const cases: readonly [title: string, bytes: Buffer, reply: Buffer | RegExp, message: RegExp][] = [
    ['a password', Buffer.of(5, 1, 2), Buffer.of(5, 255), /insists on authentication/],
    ['BIND', Buffer.of(4, 2, 0, 80, 10, 0, 0, 1, 0), reply(4, 'failed'), /asks for BIND/],
    ['an address type', Buffer.of(5, 1, 0, 5, 1, 0, 9), Buffer.of(5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0), /type 9/],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 501 This is a SOCKS proxy/, /speaks HTTP/],
    ['SSH', Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(0), /says: SSH-2\.0-x\\x0d\\x0a/],
  ];
  for (const [title, bytes, answer, message] of cases) {
    for (const [how, more] of [
      ['', 0],
      [', and goes on and on', 8 << 20],
    ] as const) {
      // oxfmt-ignore
      test(`gets its reply, and the connection ends: ${title}${how}`, async (t) => {
        const { client, asked, left } = await negotiation(t);
        client.end(Buffer.concat([bytes, Buffer.alloc(more, 'x')]));
        const heard = await buffer(client);
        if (answer instanceof RegExp) assert.match(heard.toString(), answer);
        else assert.deepEqual(heard, answer);
        await assert.rejects(asked, isSocksError(message));
        await left.untilNothing();
      });
    }
  }

  test('is left after a while when it stays all the same', async (t) => {
    const { client, served, asked, clock, left } = await negotiation(t);
    client.write(Buffer.of(5, 1, 2));
    await assert.rejects(asked, SocksError);
    await once(client.resume(), 'end');
    await clock.advance(1000);
    assert.equal(served.destroyed, false);
    await clock.advance(30_000);
    assert.equal(served.destroyed, true);
    left.assertNothing();
  });

  test('is left after a while when the owner refused it and it stays', async (t) => {
    const { client, served, asked, clock, left } = await negotiation(t);
    client.write(SOCKS5);
    const { answer } = await asked;
    left.assertNothing();
    answer('refused');
    await once(client.resume(), 'end');
    assert.equal(served.destroyed, false);
    await clock.advance(30_000);
    assert.equal(served.destroyed, true);
    left.assertNothing();
  });

  test('is left when everything stops and it does not read', async (t) => {
    const { client, served, asked, controller, left } = await negotiation(t);
    client.write(Buffer.of(5, 1, 2));
    await assert.rejects(asked, SocksError);
    controller.abort(new Error('stopping'));
    assert.equal(served.destroyed, true);
    left.assertNothing();
  });
});

describe('a client that does not finish', { concurrency: 8 }, () => {
  const beginnings = [
    ['nothing', Buffer.alloc(0)],
    ['a greeting', SOCKS5.subarray(0, 3)],
    ['half a request', SOCKS5.subarray(0, 9)],
    ['half a user', SOCKS4.subarray(0, 9)],
  ] as const;
  for (const [what, bytes] of beginnings) {
    test(`is refused when it sends ${what} and waits`, async (t) => {
      const { client, asked, clock, left } = await negotiation(t);
      const heard = buffer(client);
      client.write(bytes);
      await pause();
      await clock.advance(HANDSHAKE_MS - 1);
      assert.equal(await settled(asked), false);
      await clock.advance(1);
      await assert.rejects(asked, isSocksError(/no complete request within 10 s$/));
      assert.deepEqual(await heard, bytes[0] === 5 ? CHOSEN : Buffer.alloc(0));
      client.end();
      await left.untilNothing();
    });

    test(`is refused when it sends ${what} and ends`, async (t) => {
      const { client, asked, left } = await negotiation(t);
      client.end(bytes);
      await assert.rejects(asked, isSocksError(/left before its request was complete$/));
      assert.deepEqual(await buffer(client), bytes[0] === 5 ? CHOSEN : Buffer.alloc(0));
      await left.untilNothing();
    });

    test(`is refused when it sends ${what} and resets`, async (t) => {
      const { client, served, asked, left } = await negotiation(t);
      client.write(bytes);
      // libuv reports an end where bytes and a reset come together.
      await until(() => served.bytesRead === bytes.length, { what: 'the bytes' });
      client.resetAndDestroy();
      await assert.rejects(asked, isSocksError(/is gone: ECONNRESET$/));
      await left.untilNothing();
    });

    test(`is left when it sends ${what} and everything stops`, async (t) => {
      const { client, served, asked, controller, left } = await negotiation(t);
      client.write(bytes);
      await pause();
      const reason = new Error('stopping');
      controller.abort(reason);
      await assert.rejects(asked, reason);
      assert.equal(served.destroyed, true);
      left.assertNothing();
    });
  }

  test('is refused when it sends a byte now and then, and not all in time', async (t) => {
    const { client, asked, clock } = await negotiation(t);
    for (const byte of SOCKS4.subarray(0, 9)) {
      client.write(Buffer.of(byte));
      await pause(5);
      await clock.advance(HANDSHAKE_MS / 10);
    }
    assert.equal(await settled(asked), false);
    await clock.advance(HANDSHAKE_MS / 10);
    await assert.rejects(asked, isSocksError(/within 10 s$/));
  });
});

describe('a stream in an unusual state', () => {
  test('ends when everything has stopped already', async () => {
    const stream = duplex();
    const reason = new Error('stopped');
    await assert.rejects(negotiate(stream, fakeClock(), AbortSignal.abort(reason)), reason);
    assert.equal(stream.destroyed, true);
  });

  test('ends when it is closed already', async () => {
    const clock = fakeClock();
    await assert.rejects(negotiate(duplex().destroy(), clock, patient), isSocksError(/is gone$/));
    assert.equal(clock.pending(), 0);
  });

  test('ends when it has ended already', async () => {
    const clock = fakeClock();
    const stream = duplex();
    stream.push(null);
    await once(stream.resume(), 'end');
    await assert.rejects(negotiate(stream, clock, patient), isSocksError(/left before/));
    await until(() => stream.closed, { what: 'the close' });
    assert.equal(clock.pending(), 0);
  });

  test('ends when it is closed from outside', async () => {
    const clock = fakeClock();
    const stream = duplex();
    const asked = negotiate(stream, clock, patient);
    stream.destroy();
    await assert.rejects(asked, isSocksError(/is gone$/));
    assert.equal(clock.pending(), 0);
  });

  test('has an error that is safe to print when a client sends control characters', async () => {
    const stream = duplex();
    const asked = negotiate(stream, fakeClock(), patient);
    stream.destroy(new Error('\x1b[31mred\n'));
    await assert.rejects(asked, isSocksError(/is gone: \\x1b\[31mred\\x0a$/));
  });

  test('is read when it was paused', async () => {
    const stream = duplex().pause();
    stream.push(SOCKS4);
    assert.equal((await negotiate(stream, systemClock, patient)).host, '10.0.0.1');
  });
});

for (const outcome of ['granted', 'failed'] satisfies ReplyCode[]) {
  test(`survives a client that resets before it is told: ${outcome}`, async (t) => {
    const { client, served, asked, left } = await negotiation(t);
    client.write(SOCKS5);
    const { answer } = await asked;
    client.resetAndDestroy();
    await until(() => served.closed, { what: 'the close' });
    answer(outcome);
    await pause();
    left.assertNothing();
  });
}

/** A negotiation over a real connection, with what it takes to see that nothing is left of it. */
async function negotiation(t: TestContext) {
  const { client, served } = await pair(t);
  const clock = fakeClock();
  const controller = new AbortController();
  const before = listeners(served);
  const asked = negotiate(served, clock, controller.signal);
  asked.catch(() => {});
  const left = {
    untilNothing: async () => {
      // Its timers last until the event, which comes a little after `closed`.
      await until(() => served.closed && clock.pending() === 0, { what: 'the close' });
      left.assertNothing();
    },
    assertNothing: () => {
      assert.equal(clock.pending(), 0, 'timers');
      assert.equal(getEventListeners(controller.signal, 'abort').length, 0, 'listeners of the signal');
      // One more than before: the one that ignores errors.
      assert.deepEqual(listeners(served), { ...before, error: (before['error'] ?? 0) + 1 });
    },
  };
  return { client, served, asked, clock, controller, left };
}

/** How many listeners each event has, Node's own for the end of a stream aside, which goes when it has happened. */
function listeners(stream: Duplex): Record<string, number> {
  const names = ['readable', 'data', 'error', 'close', 'drain', 'pause', 'resume', 'finish'];
  return Object.fromEntries(names.map((name) => [name, stream.listenerCount(name)]));
}

/** Both ends of a connection over loopback. */
async function pair(t: TestContext): Promise<{ client: Socket; served: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  const port = await listen(server);
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  client.on('error', () => {});
  const [served] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    client.destroy();
    served.destroy();
    server.close();
  });
  return { client, served };
}

/** A stream whose other end is the test: what it is to read is pushed, what is written is forgotten. */
function duplex(): Duplex {
  return new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
}

async function trickle(client: Socket, bytes: Buffer, size: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += size) {
    client.write(bytes.subarray(at, at + size));
    await pause(1);
  }
}

function collect(stream: Duplex): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => resolve(Buffer.concat(chunks).toString()));
  });
}

function chosen(version: 4 | 5): Buffer {
  return version === 5 ? CHOSEN : Buffer.alloc(0);
}

function isSocksError(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SocksError);
    assert.match(error.message, message);
    return true;
  };
}

function settled(promise: Promise<unknown>): Promise<boolean> {
  const done = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([done, pause(1).then(() => false)]);
}

function pause(ms = 30): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

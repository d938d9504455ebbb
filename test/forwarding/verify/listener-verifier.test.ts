import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../../src/lib/async/clock.ts';
import { createVerifier, type Verifier } from '../../../src/forwarding/verify/listener-verifier.ts';
import type { Channel, SshConnection, Visitor } from '../../../src/connection/ssh/connection.ts';
import { fakeClock } from '../../support/clock.ts';
import { startSink } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startRelay } from '../../support/relay.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { freePort, until } from '../../support/until.ts';
import { connectTo } from '../../support/connection.ts';

const OURS = { type: 'ours', whole: true };
const ROOM = { room: true, early: true } as const;
const WAITING = { room: true, early: false } as const;

describe('a look', { concurrency: 4 }, () => {
  test('examines visitors when they may come from the server itself at this listener, and no others', async (t) => {
    const clock = fakeClock();
    const { verifier, listener, next, visit } = await looker(t, { clock });
    void look(verifier, listener);
    // The test's own visitor, whom nobody examines: so the look goes on.
    const test = await next();
    t.after(() => test.reject());
    visit();
    const visitor = await next();
    const taken = (changes: Partial<Visitor>) => intercept(verifier, { ...visitor, ...changes }, WAITING) !== null;
    for (const originator of ['192.0.2.7:40000', '2001:db8::1:40000', '1127.0.0.1:40000', 'example:1'])
      assert.equal(taken({ originator }), false, originator);
    for (const host of ['localhost', ''])
      assert.equal(taken({ listen: { type: 'tcp', host, port: listener } }), false, host);
    assert.equal(taken({ listen: { type: 'tcp', host: '127.0.0.1', port: listener + 1 } }), false);
    assert.equal(taken({ listen: { type: 'unix', path: '127.0.0.1' } }), false);
    for (const originator of ['127.0.0.1:40000', '127.1.2.3:40000', '::1:40000', '::ffff:127.0.0.1:40000'])
      assert.equal(taken({ originator }), true, originator);
  });

  test('leaves nothing behind in this process, however many there are', async (t) => {
    const clock = fakeClock();
    const over = new AbortController();
    const { verifier } = await looker(t, { clock, over });
    const greeter = createServer((socket) => void socket.on('error', () => {}).write('hello\n'));
    const greeting = await listen(greeter);
    t.after(() => greeter.close());
    const before = getEventListeners(over.signal, 'abort').length;
    const looks = [1, 2, 3].map(() => look(verifier, greeting));
    let answered = false;
    const all = Promise.all(looks).finally(() => (answered = true));
    await until(() => clock.advance(50).then(() => answered), { what: 'answers' });
    const others = (await all).filter((answerer) => (answerer as { type: string }).type === 'other');
    assert.equal(others.length, looks.length);
    await clock.advance(150_000);
    assert.equal(getEventListeners(over.signal, 'abort').length, before);
    assert.equal(clock.pending(), 0);
  });

  test('leaves no connection open at the server, whoever answers', async (t) => {
    const { verifier, connection, channels, next } = await looker(t);
    const silent = await startSink();
    t.after(() => silent.close());
    const greeter = createServer((socket) => void socket.on('error', () => {}).write('hello\n'));
    const greeting = await listen(greeter);
    t.after(() => greeter.close());
    for (const [port, who] of [
      [silent.port, 'it says nothing'],
      [greeting, 'it says hello'],
    ] as const) {
      for (const see of [verifier.identify, verifier.verify]) {
        const answerer = await see({ type: 'tcp', host: '127.0.0.1', port }, port);
        const said = port === greeting;
        const who_ = { who, answered: said, alive: said, certain: said, hostKey: null, own: false };
        assert.deepEqual(answerer, { type: 'other', ...who_ });
      }
    }
    const ours = await freePort();
    await connection.listen({ type: 'tcp', host: '127.0.0.1', port: ours });
    const looking = look(verifier, ours);
    assert.equal(await intercept(verifier, await next(), ROOM), null);
    assert.deepEqual(await looking, OURS);
    await until(() => silent.open() === 0, { what: () => `the end of ${silent.open()} connections` });
    await until(() => channels.open() === 0, { what: () => `the end of ${channels.open()} channels` });
    assert.equal(channels.opened(), 5);
  });

  for (const [what, late] of [
    ['after the session', true],
    ['after our patience', false],
  ] as const) {
    test(`closes a connection that the server opens ${what}`, async (t) => {
      const clock = fakeClock();
      const over = new AbortController();
      const { verifier, relay, channels } = await looker(t, { clock, over });
      let open = 0;
      // It speaks first: a channel that is not read never closes.
      const greeter = createServer((socket) => {
        open += 1;
        socket.on('error', () => {});
        socket.on('close', () => (open -= 1));
        socket.write('hello\n');
      });
      const port = await listen(greeter);
      t.after(() => greeter.close());
      relay.drop();
      const looking = look(verifier, port);
      if (late) {
        over.abort(new Error('the session is over'));
        await assert.rejects(looking, /the session is over/);
      } else {
        await clock.advance(5000);
        const answerer = await looking;
        assert.equal(answerer.type, 'unknown');
        assert.deepEqual([answerer.passing, answerer.why.includes('in time')], [true, true]);
      }
      relay.heal();
      await until(() => channels.opened() === 1, { what: 'the connection' });
      await until(() => channels.open() === 0 && open === 0, { what: 'its end' });
      assert.equal(clock.pending(), 0);
    });
  }

  test('serves a visitor who waits for the first word before it is over, once words would have come', async (t) => {
    const clock = fakeClock();
    const { verifier, listener, next, visit } = await looker(t, { clock });
    const looking = look(verifier, listener);
    // As on a slow path: it is examined in the end.
    const test = await next();
    visit();
    const examined = intercept(verifier, await next(), ROOM);
    assert.ok(examined !== null);
    const found = await untilMoved(clock, 100, examined);
    assert.ok(found !== null);
    assert.equal(clock.now() < 2000, true, `${clock.now()} ms`);
    // The look still goes on, and finds what it looks for.
    assert.equal(await intercept(verifier, test, ROOM), null);
    assert.deepEqual(await looking, OURS);
    found.reject();
  });

  for (const [said, isProbe] of [
    ['its words', true],
    ['GET /', false],
  ] as const)
    test(`looks at the first bytes of one who was let go before his target gets them: ${said}`, async (t) => {
      const clock = fakeClock();
      const { verifier, listener, next } = await looker(t, { clock });
      const looking = look(verifier, listener);
      const test = await next();
      const channel = test.accept();
      const words = await new Promise<Buffer>((resolve) => channel.once('data', resolve));
      channel.pause();
      // What has been read comes later: until then he says nothing.
      const found = await untilMoved(clock, 100, intercept(verifier, { ...test, accept: () => channel }, ROOM)!);
      const served = found!.accept();
      const heard: string[] = [];
      served.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
      const closed = new Promise((resolve) => served.once('close', resolve));
      served.push(isProbe ? words : Buffer.from(said));
      if (isProbe) {
        assert.deepEqual(await looking, OURS);
        await closed;
        assert.deepEqual(heard, []);
        return;
      }
      await until(() => heard.length > 0, { what: 'what he said' });
      // Only the first bytes can be a nonce.
      served.push(words);
      await until(() => heard.length > 1, { what: 'the rest' });
      assert.equal(heard.join(''), `GET /${words.toString()}`);
      served.close();
    });

  test('leaves no timer behind when the session ends, whenever that is', async (t) => {
    const clock = fakeClock();
    const over = new AbortController();
    const { verifier, listener, next } = await looker(t, { clock, over });
    const missed = look(verifier, listener);
    (await next()).reject();
    assert.equal((await untilMoved(clock, 100, missed)).type, 'other');
    assert.ok(clock.pending() > 0, 'late words are waited for');
    const looking = look(verifier, listener);
    const channel = (await next()).accept();
    await new Promise((resolve) => channel.once('data', resolve));
    channel.close();
    over.abort(new Error('the session is over'));
    await assert.rejects(looking, /the session is over/);
    assert.equal(clock.pending(), 0);
  });

  test('lets all go when it is over and everybody had to wait', async (t) => {
    const clock = fakeClock();
    const { verifier, listener, next, visit } = await looker(t, { clock });
    const looking = look(verifier, listener);
    const test = await next();
    visit();
    let let_go = false;
    const examined = intercept(verifier, await next(), WAITING)!.then((found) => {
      let_go = true;
      return found;
    });
    await clock.advance(1500);
    assert.equal(let_go, false);
    // Packets are real, and the time may have to move for one that came late.
    const all = Promise.all([intercept(verifier, test, WAITING), looking, examined]);
    const [own, answerer, other] = await untilMoved(clock, 20, all);
    assert.equal(own, null);
    assert.deepEqual(answerer, OURS);
    other?.reject();
  });

  test('examines a few when there is no room, and knows nothing when it may have missed its own', async (t) => {
    const clock = fakeClock();
    const { verifier, listener, next, visit } = await looker(t, { clock });
    const looking = look(verifier, listener);
    const test = await next();
    const crowd: (Promise<Visitor | null> | null)[] = [];
    for (let count = 0; count < 17; count += 1) {
      visit();
      crowd.push(intercept(verifier, await next(), { room: false, early: false }));
    }
    assert.deepEqual(
      crowd.map((one) => one !== null),
      [...Array.from({ length: 16 }, () => true), false],
    );
    test.reject();
    const answerer = await untilMoved(clock, 100, looking);
    assert.equal(answerer.type, 'unknown');
    assert.deepEqual([answerer.passing, answerer.why], [true, 'too many visitors came at once to tell']);
    for (const one of crowd) (await one)?.reject();
  });

  test('is patient while much still leaves', async (t) => {
    const clock = fakeClock();
    const { verifier, connection, listener, next, relay } = await looker(t, { clock });
    const sink = await startSink();
    t.after(() => sink.close());
    const pipes = await Promise.all(
      Array.from({ length: 8 }, () => connection.open({ type: 'tcp', host: '127.0.0.1', port: sink.port }, NOBODY)),
    );
    relay.rate(1_000_000);
    const { transport } = connection;
    // As much as the kernels on the way take, and a little that waits here.
    const pouring = setInterval(() => {
      for (const pipe of pipes) if (!transport.congested() && pipe.writableLength === 0) pipe.write(BLOCK);
    }, 1);
    t.after(() => {
      clearInterval(pouring);
      for (const pipe of pipes) pipe.close();
    });
    for (const pipe of pipes) pipe.on('error', () => {}).resume();
    await until(() => transport.congested(), { what: 'a full queue' });
    const looking = look(verifier, listener);
    let answered = false;
    void looking.then(() => (answered = true));
    for (let spent = 0; spent < 20_000; spent += 5000) {
      const { bytesSent } = transport.traffic();
      await until(() => transport.traffic().bytesSent > bytesSent + 4096, { what: 'some of it to leave' });
      await clock.advance(5000);
    }
    assert.equal(answered, false);
    clearInterval(pouring);
    relay.rate(null);
    assert.equal(await intercept(verifier, await next(), ROOM), null);
    assert.deepEqual(await looking, OURS);
  });
});

const BLOCK = Buffer.alloc(32 * 1024);
const NOBODY = { address: '127.0.0.1', port: 0 } as const;

/** What the verifier lets through, at once where that is null; soon else, where a place is kept meanwhile. */
function intercept(
  verifier: Verifier,
  visitor: Visitor,
  { room, early }: { readonly room: boolean; readonly early: boolean },
): Promise<Visitor | null> | null {
  let found: Promise<Visitor | null> | null = null;
  verifier.intercept(visitor, {
    hasRoom: () => room,
    speaksLast: () => early,
    accept: () => {},
    acceptLater: (_, later) => void (found = later),
  });
  return found;
}

function look(verifier: Verifier, port: number) {
  const looking = verifier.verify({ type: 'tcp', host: '127.0.0.1', port }, port);
  // The end of the test may end it.
  looking.catch(() => {});
  return looking;
}

/** An verifier of a real connection with one listener; visitors wait for the test to take them, in their order. */
async function looker(t: TestContext, options: { clock?: Clock; over?: AbortController } = {}) {
  const sshd: TestSshd = await startSshd();
  t.after(() => sshd.stop());
  const relay = await startRelay({ port: sshd.port });
  t.after(() => relay.close());
  const waiting: Visitor[] = [];
  const connection = await connectTo(t, sshd, (visitor) => waiting.push(visitor), relay.port);
  let opened = 0;
  let closed = 0;
  const counting: SshConnection = {
    ...connection,
    serverVersion: connection.serverVersion,
    open: async (...where): Promise<Channel> => {
      const channel = await connection.open(...where);
      opened += 1;
      channel.once('close', () => (closed += 1));
      return channel;
    },
  };
  const over = options.over ?? new AbortController();
  t.after(() => over.abort(new Error('the test is over')));
  let nonces = 0;
  const verifier = createVerifier(
    counting,
    {
      clock: options.clock ?? systemClock,
      nonce: () => `nonce-${(nonces += 1)}`,
      ownKeys: () => Promise.resolve({ keys: [], complete: true }),
    },
    over.signal,
  );
  const listener = await freePort();
  await connection.listen({ type: 'tcp', host: '127.0.0.1', port: listener });
  const visitors: Socket[] = [];
  t.after(() => visitors.forEach((socket) => socket.destroy()));
  return {
    verifier,
    connection: counting,
    listener,
    relay,
    channels: { opened: () => opened, open: () => opened - closed },
    /** The next who comes. */
    next: async () => {
      await until(() => waiting.length > 0, { what: 'a visitor' });
      return waiting.shift()!;
    },
    /** Somebody comes to the listener, and says nothing. */
    visit: () => void visitors.push(connect(listener, '127.0.0.1').on('error', () => {})),
  };
}

/** Moves the time on, in steps between which real packets come and go, until this is done. */
async function untilMoved<T>(clock: ReturnType<typeof fakeClock>, step: number, work: Promise<T>): Promise<T> {
  let done = false;
  const settled = work.finally(() => (done = true));
  settled.catch(() => {});
  await until(
    async () => {
      if (!done) await clock.advance(step);
      return done;
    },
    { what: 'an answer' },
  );
  return await settled;
}

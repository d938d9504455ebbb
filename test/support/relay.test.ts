import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import {
  pattern,
  startAnswersAfterEnd,
  startEcho,
  startNeverReads,
  startResets,
  startSink,
  startSource,
} from './echo.ts';
import type { TestTarget } from './echo.ts';
import { startRelay, type Relay } from './relay.ts';
import { until } from './until.ts';

async function relayTo(t: TestContext, target: TestTarget): Promise<Relay> {
  const relay = await startRelay(target);
  t.after(async () => {
    await relay.close();
    await target.close();
  });
  return relay;
}

async function visit(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

test('passes bytes and half-closes in both directions, and counts', async (t) => {
  const relay = await relayTo(t, await startAnswersAfterEnd());
  const socket = await visit(t, relay.port);
  socket.end(pattern(0, 300_000));
  assert.ok((await buffer(socket)).equals(pattern(0, 300_000)));
  assert.deepEqual([relay.accepted(), relay.bytesUp(), relay.bytesDown()], [1, 300_000, 300_000]);
  await until(() => relay.open() === 0, { what: 'both sockets closed' });
});

test('says nothing as a black hole, and delivers what was sent when it heals', async (t) => {
  const relay = await relayTo(t, await startEcho());
  const socket = await visit(t, relay.port);
  socket.write('a');
  assert.equal(String((await once(socket, 'data'))[0]), 'a');

  relay.drop();
  const heard: string[] = [];
  socket.on('data', (chunk: Buffer) => heard.push(String(chunk)));
  socket.end('b');
  const late = await visit(t, relay.port);
  late.on('data', (chunk: Buffer) => heard.push(String(chunk)));
  late.write('c');
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.deepEqual(heard, []);

  relay.heal();
  await until(() => heard.length === 2, { what: 'both echoes' });
  assert.deepEqual(new Set(heard), new Set(['b', 'c']));
});

test('resets both sides when it is cut', async (t) => {
  const target = await startEcho();
  const relay = await relayTo(t, target);
  const socket = await visit(t, relay.port);
  socket.write('a');
  await once(socket, 'data');
  const ended = once(socket, 'error');
  relay.cut();
  assert.equal((await ended)[0].code, 'ECONNRESET');
  await until(() => target.open() === 0, { what: "the target's end of the connection" });
});

test("passes on a reset when it is the target's", async (t) => {
  const relay = await relayTo(t, await startResets());
  const socket = connect(relay.port, '127.0.0.1');
  assert.equal((await once(socket, 'error'))[0].code, 'ECONNRESET');
});

test('refuses, and accepts again, when told to', async (t) => {
  const relay = await relayTo(t, await startEcho());
  const early = await visit(t, relay.port);
  await relay.refuse();
  const refused = connect(relay.port, '127.0.0.1');
  assert.equal((await once(refused, 'error'))[0].code, 'ECONNREFUSED');
  early.write('still here');
  assert.equal(String((await once(early, 'data'))[0]), 'still here');
  await relay.accept();
  (await visit(t, relay.port)).write('again');
  await until(() => relay.accepted() === 2, { what: 'the second connection' });
});

test('slows each direction down by delay and rate without losing order', async (t) => {
  const relay = await relayTo(t, await startEcho());
  relay.delay(60);
  const socket = await visit(t, relay.port);
  const start = performance.now();
  socket.write('a');
  await once(socket, 'data');
  assert.ok(performance.now() - start >= 120, 'there and back are two delays');

  relay.delay(0);
  relay.rate(200_000);
  const again = performance.now();
  socket.end(pattern(0, 50_000));
  assert.ok((await buffer(socket)).equals(pattern(0, 50_000)));
  assert.ok(performance.now() - again >= 250, '50 kB at 200 kB/s');
});

test('holds the sender back when a target never reads', async (t) => {
  const target = await startNeverReads();
  const relay = await relayTo(t, target);
  const socket = await visit(t, relay.port);
  const sent = Buffer.alloc(64 * 1024 * 1024); // more than all the buffers of loopback
  socket.write(sent);
  await until(() => relay.bytesUp() > 0, { what: 'the first bytes' });
  let before = -1;
  await until(
    async () => {
      before = relay.bytesUp();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return relay.bytesUp() === before;
    },
    { what: 'the flow to stop' },
  );
  assert.ok(before < sent.length);
  assert.equal(target.received(), 0);
});

test('sinks what it gets, and pours as a source', async (t) => {
  const sink = await startSink();
  const source = await startSource(200_001);
  t.after(() => source.close());
  const relay = await relayTo(t, sink);
  (await visit(t, relay.port)).end(Buffer.alloc(1000));
  await until(() => sink.received() === 1000, { what: 'all bytes in the sink' });
  assert.ok((await buffer(await visit(t, source.port))).equals(pattern(0, 200_001)));
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { gatherReads } from '../../../src/net/streams/gather-reads.ts';
import { fakeClock } from '../../support/clock.ts';
import { listen } from '../../support/listen.ts';
import { until } from '../../support/until.ts';

const READ = 768 * 1024;

test('has little wait for more while a transfer is fast, and no longer than until it stops', async (t) => {
  const { socket, peer, heard } = await pair(t);
  const clock = fakeClock();
  const gather = gatherReads(socket, clock, () => true)!;
  peer.write('a');
  await until(() => heard() === 1, { what: 'the first byte' });
  for (let i = 0; i < 4; i++) gather(READ);
  peer.write('b');
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(heard(), 1);
  // What is enough comes at once.
  peer.write(Buffer.alloc(READ));
  await until(() => heard() === 2 + READ, { what: 'all of it' });
  gather(READ);
  peer.write('c');
  await clock.advance(3);
  await clock.advance(3);
  await until(() => heard() === 3 + READ, { what: 'the last byte' });
  assert.equal(clock.pending(), 0);
});

test('has nothing wait where reads are small or slow, or soon after a stop', async (t) => {
  const { socket, peer, heard } = await pair(t);
  const clock = fakeClock();
  const gather = gatherReads(socket, clock, () => true)!;
  for (let i = 0; i < 1000; i++) gather(4000);
  for (let i = 0; i < 100; i++) {
    gather(READ);
    await clock.advance(5);
  }
  assert.equal(clock.pending(), 0);
  for (let i = 0; i < 8; i++) gather(READ);
  assert.equal(clock.pending(), 1);
  for (let i = 0; i < 4; i++) await clock.advance(3);
  assert.equal(clock.pending(), 0);
  for (let i = 0; i < 40; i++) gather(READ);
  assert.equal(clock.pending(), 0);
  peer.write('x');
  await until(() => heard() === 1, { what: 'a byte' });
  for (let i = 0; i < 60; i++) gather(READ);
  assert.equal(clock.pending(), 1);
});

test('gathers again at once after a stop of a transfer that has gone on for long', async (t) => {
  const { socket } = await pair(t);
  const clock = fakeClock();
  const gather = gatherReads(socket, clock, () => true)!;
  for (let i = 0; i < 100; i++) gather(READ);
  for (let i = 0; i < 4; i++) await clock.advance(3);
  assert.equal(clock.pending(), 0);
  // 2 MiB.
  for (let i = 0; i < 3; i++) gather(READ);
  assert.equal(clock.pending(), 1);
});

test('has nothing wait while it may not, and gathers again as soon as it may', async (t) => {
  const { socket, peer, heard } = await pair(t);
  const clock = fakeClock();
  let mayWait = false;
  const gather = gatherReads(socket, clock, () => mayWait)!;
  for (let i = 0; i < 100; i++) gather(READ);
  assert.equal(clock.pending(), 0);
  for (const [turn, may] of [true, false, true].entries()) {
    mayWait = may;
    for (let i = 0; i < 4; i++) gather(READ);
    await clock.advance(3);
    assert.equal(clock.pending(), may ? 1 : 0);
    peer.write('x');
    if (!may) await until(() => heard() === turn + 1, { what: 'all bytes so far' });
  }
});

test('passes on the end of a connection at once, and leaves one that is destroyed alone', async (t) => {
  const { socket, peer, heard } = await pair(t);
  const clock = fakeClock();
  const gather = gatherReads(socket, clock, () => true)!;
  for (let i = 0; i < 4; i++) gather(READ);
  peer.end('last');
  await once(socket, 'end');
  assert.equal(heard(), 4);
  socket.destroy();
  for (let i = 0; i < 3; i++) await clock.advance(3);
  assert.equal(clock.pending(), 0);
  for (let i = 0; i < 100; i++) gather(READ);
  assert.equal(clock.pending(), 0);
});

async function pair(t: TestContext) {
  const server = createServer();
  const accepted = once(server, 'connection');
  const socket = connect(await listen(server, '127.0.0.1'), '127.0.0.1');
  await once(socket, 'connect');
  const [peer] = (await accepted) as [Socket];
  server.close();
  t.after(() => [socket, peer].forEach((one) => one.destroy()));
  let heard = 0;
  socket.on('data', (chunk: Buffer) => (heard += chunk.length));
  return { socket, peer, heard: () => heard };
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { senderPast } from '../../../src/net/streams/send-past.ts';
import { unsentLimiter } from '../../../src/net/streams/unsent-limiter.ts';
import { listen } from '../../support/listen.ts';

test('has the kernel take less where nobody reads, and more again', async (t) => {
  const taken = async (...limits: readonly number[]) => {
    const socket = await unread(t);
    const limit = unsentLimiter(socket);
    for (const bytes of limits) limit(bytes);
    const send = senderPast(socket)!;
    const piece = Buffer.alloc(4096);
    let all = 0;
    // What the other end's kernel has taken is on its way no more.
    for (let rest = 50; rest > 0; rest--) {
      for (let some = send(piece, piece.length); some > 0; some = send(piece, piece.length)) all += some;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return all;
  };
  const [without, little, more, again] = await Promise.all([
    taken(),
    taken(16_384),
    taken(16_384, 262_144),
    taken(16_384, 20_000),
  ]);
  assert.ok(little + 200_000 < more, `${little}, ${more}`);
  assert.ok(more + 500_000 < without, `${more}, ${without}`);
  // A little more is not worth a call.
  assert.ok(again < little + 4096, `${again}, ${little}`);
});

test('leaves the socket alone that is closed', async (t) => {
  const socket = await unread(t);
  const limit = unsentLimiter(socket);
  socket.destroy();
  limit(16_384);
});

/** A connection whose other end reads nothing. */
async function unread(t: TestContext) {
  const server = createServer({ pauseOnConnect: true }, (peer) => t.after(() => peer.destroy()));
  const port = await listen(server);
  const socket = connect({ port, host: '127.0.0.1' });
  t.after(() => {
    socket.destroy();
    server.close();
  });
  await once(socket, 'connect');
  return socket;
}

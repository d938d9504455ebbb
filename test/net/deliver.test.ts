import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import { unacknowledged } from '../../src/host/tcp-queue.ts';
import { deliverThenClose } from '../../src/net/deliver.ts';
import { pattern } from '../support/echo.ts';
import { listen } from '../support/listen.ts';
import { until } from '../support/until.ts';

test('sends everything before it resets when a peer sends, and reads nothing for long', async (t) => {
  const server = createServer({ allowHalfOpen: true });
  t.after(() => void server.close());
  const port = await listen(server);
  const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [socket] = (await once(server, 'connection')) as [typeof peer];
  t.after(() => [peer, socket].forEach((each) => each.destroy()));

  // More than the peer's kernel takes at once while nothing is read, less than ours does. How much it takes in the end depends on the machine.
  const bytes = pattern(0, 1_000_000);
  let asked = 0;
  let resets = 0;
  socket.write(bytes);
  deliverThenClose(socket, {
    clock: impatient,
    unacknowledged: (addresses) => {
      asked += 1;
      return asked < 12 ? 1 : unacknowledged(addresses);
    },
    onReset: () => (resets += 1),
  });
  const sending = setInterval(() => peer.write('more'), 10);
  t.after(() => clearInterval(sending));
  const reset = new Promise<NodeJS.ErrnoException>((resolve) => peer.once('error', resolve));
  await until(() => asked >= 12, { what: () => `12 looks, not ${asked}; ${resets} resets` });
  assert.equal(resets, 0);

  const chunks: Buffer[] = [];
  peer.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(peer, 'end');
  assert.ok(Buffer.concat(chunks).equals(bytes), `${Buffer.concat(chunks).length} of ${bytes.length}`);
  assert.match((await reset).code ?? '', /^(?:EPIPE|ECONNRESET)$/);
  assert.equal(resets, 1);
});

test('looks again at a connection when it is younger than what the system reports, and does not linger', async (t) => {
  const server = createServer({ allowHalfOpen: true });
  t.after(() => void server.close());
  const port = await listen(server);
  const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [socket] = (await once(server, 'connection')) as [typeof peer];
  t.after(() => [peer, socket].forEach((each) => each.destroy()));
  peer.resume();
  const waits: number[] = [];
  const answers = [null, null, 0];
  const clock: Clock = {
    ...systemClock,
    timer: (ms, fire) => {
      waits.push(ms);
      return systemClock.timer(0, fire);
    },
  };
  deliverThenClose(socket, { clock, unacknowledged: () => answers.shift() ?? null, onReset: () => {} });
  await once(socket, 'close');
  // 100 ms to the first look, as much and twice that to the next ones, and two seconds for the peer to read.
  assert.deepEqual(waits, [100, 100, 200, 2000]);
});

/** Looks come a thousand times as often; the peer's moment for its reading stays what it is. */
const impatient: Clock = {
  ...systemClock,
  timer: (ms, fire) => systemClock.timer(ms === 2000 ? 2000 : ms / 1000, fire),
};

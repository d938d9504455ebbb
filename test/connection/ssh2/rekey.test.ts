import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Client } from 'ssh2';
import { rekeyAfter } from '../../../src/connection/ssh2/rekey.ts';
import type { RekeyLimit } from '../../../src/model/spec.ts';
import type { SshStream } from '../../../src/net/streams/stream-adapter.ts';
import { fakeClock } from '../../support/clock.ts';

const GIB = 1024 ** 3;

function start(limit: RekeyLimit | null, cipher = 'aes128-gcm@openssh.com') {
  const clock = fakeClock();
  let rekeys = 0;
  const client = Object.assign(new EventEmitter(), { _protocol: { rekey: () => rekeys++ } });
  const stream = Object.assign(new EventEmitter(), { bytesWritten: 0, destroyed: false, writableEnded: false });
  const { forget } = rekeyAfter(client as unknown as Client, stream as unknown as SshStream, limit, clock);
  const agreed = { cs: { cipher }, sc: { cipher } };
  return {
    clock,
    stream,
    forget,
    exchanged: () => client.emit('handshake', agreed),
    loggedIn: () => client.emit('ready'),
    /** How often keys are renewed when so many more bytes have passed. */
    after: async (read: number, written = 0) => {
      const before = rekeys;
      stream.bytesWritten += written;
      stream.emit('data', { length: read });
      await turn();
      return rekeys - before;
    },
    rekeys: () => rekeys,
  };
}

test('renews keys once when either direction has had its bytes, and counts anew from there', async () => {
  const { exchanged, loggedIn, after } = start({ bytes: 1000, ms: null });
  exchanged();
  loggedIn();
  assert.equal(await after(999, 999), 0);
  assert.equal(await after(1), 1);
  assert.equal(await after(5000, 5000), 0, 'while the exchange goes on');
  exchanged();
  assert.equal(await after(1, 999), 0);
  assert.equal(await after(1, 1), 1);
});

test('renews no keys before the login, when compression would begin in between', async () => {
  const { exchanged, loggedIn, after, clock } = start({ bytes: 16, ms: 1000 });
  exchanged();
  assert.equal(await after(5000, 5000), 0);
  await clock.advance(5000);
  assert.equal(await after(1), 0);
  loggedIn();
  assert.equal(await after(1), 0);
  assert.equal(await after(15), 1);
});

for (const [cipher, limit, bytes] of [
  ['aes128-gcm@openssh.com', null, 64 * GIB],
  ['aes256-ctr', null, 64 * GIB],
  ['chacha20-poly1305@openssh.com', null, GIB],
  ['3des-cbc', null, GIB],
  ['chacha20-poly1305@openssh.com', { bytes: 5 * GIB, ms: null }, GIB],
  ['aes128-ctr', { bytes: 5 * GIB, ms: null }, 5 * GIB],
  ['aes128-ctr', { bytes: null, ms: 1000 }, 64 * GIB],
] as const)
  test(`renews keys after ${bytes / GIB} GiB when the cipher is ${cipher} and the limit ${limit?.bytes ?? 'none'}`, async () => {
    const { exchanged, loggedIn, after } = start(limit, cipher);
    exchanged();
    loggedIn();
    assert.equal(await after(bytes - 1, bytes - 1), 0);
    assert.equal(await after(0, 1), 1);
  });

test('renews keys of an idle connection when the time is over, and needs no timer without one', async () => {
  const { exchanged, loggedIn, clock, rekeys, stream, forget } = start({ bytes: null, ms: 3_600_000 });
  exchanged();
  loggedIn();
  await clock.advance(3_599_999);
  assert.equal(rekeys(), 0);
  await clock.advance(1);
  assert.equal(rekeys(), 1);
  exchanged();
  stream.writableEnded = true;
  await clock.advance(3_600_000);
  assert.equal(rekeys(), 1, 'not after our end');
  exchanged();
  forget();
  assert.equal(clock.pending(), 0);
  const plain = start(null);
  plain.exchanged();
  plain.loggedIn();
  assert.equal(plain.clock.pending(), 0);
});

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { Channel } from '../../../src/connection/ssh/connection.ts';
import { createUnsentRest } from '../../../src/forwarding/visitors/unsent-rest.ts';

test('sends what it keeps as the window opens, in order, and reports when all is sent', () => {
  const { channel, sent, open } = windowed();
  let ends = 0;
  const rest = createUnsentRest(channel, () => (ends += 1));
  const memory = Buffer.from('..abcdefgh..');
  assert.ok(rest.keep(memory, 2, 10));
  memory.fill('x');
  open(3);
  assert.deepEqual([sent(), rest.waits(), ends], ['abc', true, 0]);
  open(3);
  open(2);
  assert.deepEqual([sent(), rest.waits(), ends], ['abcdefgh', false, 1]);
  open(5);
  assert.equal(ends, 1);
});

test('keeps nothing behind what it keeps, nor what waits for something else than the window', () => {
  const { channel, open } = windowed();
  const rest = createUnsentRest(channel, () => {});
  assert.ok(rest.keep(Buffer.from('ab'), 0, 2));
  assert.equal(rest.keep(Buffer.from('cd'), 0, 2), false);
  open(100);
  // The window is open: an exchange of keys, say.
  assert.equal(rest.keep(Buffer.from('cd'), 0, 2), false);
});

test('writes what it keeps to the stream where the window opens and the data may not pass, and when that is asked for', () => {
  const { channel, written, open, forbid } = windowed();
  const rest = createUnsentRest(channel, () => {});
  assert.ok(rest.keep(Buffer.from('abc'), 0, 3));
  rest.toStream();
  assert.equal(rest.waits(), false);
  assert.ok(rest.keep(Buffer.from('def'), 0, 3));
  forbid();
  open(10);
  assert.equal(rest.waits(), false);
  assert.equal(written(), 'abcdef');
});

test('keeps the bytes of each channel apart, however many there are', () => {
  const all = Array.from({ length: 6 }, () => windowed());
  const rests = all.map(({ channel }) => createUnsentRest(channel, () => {}));
  for (const [index, rest] of rests.entries()) assert.ok(rest.keep(Buffer.alloc(1000, `${index}`), 0, 1000));
  for (const { open } of all) open(1000);
  assert.deepEqual(
    all.map(({ sent }) => sent()),
    all.map((_, index) => `${index}`.repeat(1000)),
  );
});

/** A channel whose window is closed. */
function windowed() {
  const stream = new PassThrough();
  let window = 0;
  let allowed = true;
  let sent = '';
  let listener: (() => void) | null = null;
  const channel: Channel = Object.assign(stream, {
    close: () => {},
    sendNow: (memory: Buffer, start: number, end: number) => {
      const some = allowed ? Math.min(window, end - start) : 0;
      window -= some;
      sent += memory.toString('latin1', start, start + some);
      return some;
    },
    onceWindowOpens: (next: () => void) => {
      if (window > 0) return false;
      listener = next;
      return true;
    },
  });
  return {
    channel,
    sent: () => sent,
    written: () => String(stream.read() ?? ''),
    forbid: () => (allowed = false),
    open: (bytes: number) => {
      window += bytes;
      const call = listener;
      listener = null;
      call?.();
    },
  };
}

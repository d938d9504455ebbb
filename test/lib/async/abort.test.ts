import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { onceAborted } from '../../../src/lib/async/abort.ts';

test('calls those that wait once when the signal is aborted, each alone, and none that has left', async () => {
  const controller = new AbortController();
  const called: number[] = [];
  const leave = Array.from({ length: 5 }, (_, index) => onceAborted(controller.signal, () => called.push(index)));
  // Called again, it takes away no other.
  for (const index of [0, 3, 0]) leave[index]!();
  const uncaught = new Promise<unknown>((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  const bug = new Error('a bug');
  onceAborted(controller.signal, () => {
    throw bug;
  });
  const last = onceAborted(controller.signal, () => called.push(9));
  controller.abort();
  assert.deepEqual(
    called.toSorted((a, b) => a - b),
    [1, 2, 4, 9],
  );
  assert.equal(await uncaught, bug);
  process.setUncaughtExceptionCaptureCallback(null);
  last();
  leave[1]!();
});

test('has one listener for a thousand that come and go', () => {
  const { signal } = new AbortController();
  const leave = Array.from({ length: 1000 }, () => onceAborted(signal, () => {}));
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  for (const each of leave) each();
  assert.equal(getEventListeners(signal, 'abort').length, 1);
});

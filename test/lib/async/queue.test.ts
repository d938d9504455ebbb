import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createQueue } from '../../../src/lib/async/queue.ts';

test('begins a piece of work when the one before has ended, also by a failure', async () => {
  const oneAtATime = createQueue();
  const events: string[] = [];
  let release!: () => void;
  const first = oneAtATime(async () => {
    events.push('first');
    await new Promise<void>((resolve) => (release = resolve));
    throw new Error('it failed');
  });
  const second = oneAtATime(() => events.push('second'));
  const third = oneAtATime(async () => 'answer');
  await new Promise(setImmediate);
  assert.deepEqual(events, ['first']);
  release();
  await assert.rejects(first, { message: 'it failed' });
  assert.equal(await second, 2);
  assert.equal(await third, 'answer');
});

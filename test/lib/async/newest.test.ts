import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newest } from '../../../src/lib/async/newest.ts';

test('does one at a time, in order, and only the newest when several wait', async () => {
  const done: string[] = [];
  const ends: (() => void)[] = [];
  const work = newest<string>(async (item) => {
    await new Promise<void>((resolve) => ends.push(resolve));
    done.push(item);
  });
  for (const item of ['a', 'b', 'c', 'd']) work.put(item);
  assert.equal(ends.length, 1, 'only one is under way');
  ends[0]!();
  await turn();
  assert.deepEqual([done, ends.length], [['a'], 2]);
  let isIdle = false;
  const idle = work.idle().then(() => (isIdle = true));
  work.put('e');
  ends[1]!();
  await turn();
  assert.deepEqual([done, ends.length, isIdle], [['a', 'd'], 3, false]);
  ends[2]!();
  await idle;
  assert.deepEqual(done, ['a', 'd', 'e']);
  await work.idle();
});

test('does what comes later when one fails', async () => {
  const done: number[] = [];
  const work = newest<number>(async (item) => {
    await turn();
    if (item === 1) throw new Error('full');
    done.push(item);
  });
  work.put(1);
  work.put(2);
  await work.idle();
  assert.deepEqual(done, [2]);
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

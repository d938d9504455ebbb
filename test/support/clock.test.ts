import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep } from '../../src/lib/async/clock.ts';
import { fakeClock } from './clock.ts';

test('fires timers in order of time, those that timers start included, and settles promises between them', async () => {
  const clock = fakeClock();
  const seen: [string, number][] = [];
  clock.timer(20, () => seen.push(['b', clock.now()]));
  clock.timer(10, () => seen.push(['a', clock.now()]));
  const cancel = clock.timer(15, () => seen.push(['never', clock.now()]));
  cancel();
  const never = new AbortController();
  const chain = (async () => {
    await sleep(clock, 5, never.signal);
    await sleep(clock, 7, never.signal);
    seen.push(['chain', clock.now()]);
  })();
  await clock.advance(19);
  assert.deepEqual(seen, [
    ['a', 10],
    ['chain', 12],
  ]);
  await chain;
  assert.equal(clock.pending(), 1);
  await clock.advance(1);
  assert.deepEqual(seen[2], ['b', 20]);
  assert.equal(clock.pending(), 0);
});

test('lets the wall clock jump while monotonic time goes on', async () => {
  const clock = fakeClock(1000);
  await clock.advance(5);
  clock.stepWall(60_000);
  assert.deepEqual([clock.now(), clock.wall()], [5, 61_005]);
});

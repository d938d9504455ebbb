import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce, inSlices, fewPerTick } from '../../../src/lib/async/slices.ts';
import { countTicks } from '../../support/loop-delay.ts';

/** Takes so many milliseconds of the processor, in steps of one. */
function* busy<T>(ms: number, result: T): Generator<undefined, T> {
  for (let step = 0; step < ms; step++) {
    const until = performance.now() + 1;
    while (performance.now() < until);
    yield;
  }
  return result;
}

test('lets the loop go on while work is long, and no less while ten are at once', async () => {
  const ticks = countTicks();
  const results = await Promise.all(Array.from({ length: 10 }, (_, index) => inSlices(busy(20, index))));
  assert.deepEqual(results, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  // 200 ms in pieces of 5; together they would have had four ticks.
  assert.ok(ticks() >= 20);
});

test('ends work when it is short, when it fails, and when it begins while other work ends', async () => {
  assert.equal(await inSlices(busy(0, 'at once')), 'at once');
  function* failing(): Generator<undefined, never> {
    yield;
    throw new Error('failed');
  }
  await assert.rejects(inSlices(failing()), /failed/);
  const both = await Promise.all([inSlices(busy(1, 1)).then(() => inSlices(busy(1, 2))), inSlices(busy(12, 3))]);
  assert.deepEqual(both, [2, 3]);
  assert.equal(atOnce(busy(2, 'done')), 'done');
  assert.throws(() => atOnce(failing()), /failed/);
});

test('lets the first few of a tick begin at once, and of the others a few in each tick after it, in their order', async () => {
  let ticks = 0;
  let next = setImmediate(function tick() {
    ticks += 1;
    next = setImmediate(tick);
  });
  const at = await Promise.all(
    Array.from({ length: 100 }, async () => {
      await fewPerTick();
      return ticks;
    }),
  );
  clearImmediate(next);
  assert.deepEqual(
    at,
    at.toSorted((a, b) => a - b),
  );
  const inTick = (tick: number) => at.filter((one) => one === tick).length;
  assert.equal(inTick(0), 16);
  for (let tick = 1; tick <= ticks; tick += 1) assert.ok(inTick(tick) <= 16, `${inTick(tick)} in tick ${tick}`);
  assert.ok(ticks >= 6);
});

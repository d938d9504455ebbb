import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce, inSlices, fewATurn } from '../../../src/lib/async/slices.ts';
import { countTurns } from '../../support/loop-delay.ts';

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
  const turns = countTurns();
  const results = await Promise.all(Array.from({ length: 10 }, (_, index) => inSlices(busy(20, index))));
  assert.deepEqual(results, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  // 200 ms in pieces of 5; together they would have had four turns.
  assert.ok(turns() >= 20);
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

test('lets the first few of a turn begin at once, and the others one after the other', async () => {
  let turns = 0;
  let next = setImmediate(function turn() {
    turns += 1;
    next = setImmediate(turn);
  });
  const at = await Promise.all(Array.from({ length: 100 }, () => fewATurn().then(() => turns)));
  clearImmediate(next);
  const inTurn = (turn: number) => at.filter((one) => one === turn).length;
  assert.equal(inTurn(0), 16);
  for (let turn = 1; turn <= turns; turn += 1) assert.ok(inTurn(turn) <= 2, `${inTurn(turn)} in turn ${turn}`);
});

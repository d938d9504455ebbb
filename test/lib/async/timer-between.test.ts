import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awake, timerBetween } from '../../../src/lib/async/timer-between.ts';
import { fakeClock } from '../../support/clock.ts';

/** Two such timers at least, and moments at which the process is awake for something else; then what came when. */
const CASES: readonly {
  readonly name: string;
  readonly timers: readonly (readonly [name: string, earliestMs: number, latestMs: number])[];
  readonly awakeAt: readonly number[];
  readonly came: readonly string[];
}[] = [
  { name: 'by itself at the latest moment', timers: [['a', 10, 30]], awakeAt: [], came: ['a 30'] },
  { name: 'with what wakes the process', timers: [['a', 10, 30]], awakeAt: [20], came: ['a 20'] },
  { name: 'not too early', timers: [['a', 10, 30]], awakeAt: [9], came: ['a 30'] },
  { name: 'from its first moment on', timers: [['a', 10, 30]], awakeAt: [10, 11], came: ['a 10'] },
  {
    name: 'along with another one that could not wait any more',
    timers: [
      ['a', 10, 30],
      ['b', 20, 25],
      ['not yet', 26, 90],
    ],
    awakeAt: [],
    came: ['b 25', 'a 25', 'not yet 90'],
  },
];

for (const { name, timers, awakeAt, came } of CASES)
  test(`calls ${name}`, async () => {
    const clock = fakeClock();
    const seen: string[] = [];
    for (const [one, earliestMs, latestMs] of timers)
      timerBetween(clock, earliestMs, latestMs, () => seen.push(`${one} ${clock.now()}`));
    for (const at of awakeAt) clock.timer(at, () => awake(clock));
    await clock.advance(100);
    assert.deepEqual([seen, clock.pending()], [came, 0]);
  });

test('does not call what is cancelled, at that moment either', async () => {
  const clock = fakeClock();
  const seen: string[] = [];
  timerBetween(clock, 0, 10, () => seen.push('cancelled'))();
  const cancel = timerBetween(clock, 0, 10, () => seen.push('cancelled while the process is awake'));
  awake(clock);
  cancel();
  cancel();
  await clock.advance(100);
  assert.deepEqual([seen, clock.pending()], [[], 0]);
});

test('has on each clock timers of its own', async () => {
  const [one, other] = [fakeClock(), fakeClock()];
  const seen: string[] = [];
  timerBetween(one, 0, 10, () => seen.push('one'));
  awake(other);
  await other.advance(100);
  assert.deepEqual(seen, []);
  await one.advance(100);
  assert.deepEqual(seen, ['one']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { feedWatchdog } from '../../src/daemon/watchdog.ts';
import { awake } from '../../src/lib/async/timer-between.ts';
import { fakeClock } from '../support/clock.ts';

const CASES = [
  {
    name: 'by itself after somewhat more than half of its time',
    awakeEveryMs: 200_000,
    fedAt: [0, 32_000, 64_000, 96_000],
  },
  { name: 'along with what wakes the process', awakeEveryMs: 15_010, fedAt: [0, 30_020, 60_040, 90_060] },
  {
    name: 'no more often than it needs',
    awakeEveryMs: 1000,
    fedAt: [0, 16_000, 32_000, 48_000, 64_000, 80_000, 96_000],
  },
];

function fed(withinMs: number) {
  const clock = fakeClock();
  const fedAt: number[] = [];
  const errors: object[] = [];
  const stuck: string[] = [];
  const notifier = {
    watchdogMs: withinMs,
    ready: () => {},
    status: () => {},
    watchdog: () => fedAt.push(clock.now()),
    reloading: () => {},
    stopping: () => {},
  };
  const log = { error: (facts: object) => errors.push(facts) };
  const starve = feedWatchdog(notifier, withinMs, () => stuck, { clock, log });
  return { clock, fedAt, errors, stuck, starve };
}

for (const { name, awakeEveryMs, fedAt: wanted } of CASES)
  test(`feeds the watchdog ${name}`, async () => {
    const { clock, fedAt, starve } = fed(60_000);
    for (let at = awakeEveryMs; at < 100_000; at += awakeEveryMs) clock.timer(at, () => awake(clock));
    await clock.advance(100_000);
    assert.deepEqual(fedAt, wanted);
    starve();
    assert.equal(clock.pending(), 0);
  });

test('does not feed it while a tunnel makes no progress, and looks again', async () => {
  const { clock, fedAt, errors, stuck, starve } = fed(60_000);
  stuck.push('a');
  await clock.advance(64_000);
  assert.deepEqual([fedAt, errors], [[0], [{ tunnels: ['a'] }, { tunnels: ['a'] }]]);
  stuck.pop();
  await clock.advance(32_000);
  assert.deepEqual(fedAt, [0, 96_000]);
  starve();
});

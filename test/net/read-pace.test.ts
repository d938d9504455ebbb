import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReadPace, MOST_AT_ONCE } from '../../src/net/read-pace.ts';

const KIB = 1024;

test('reads as much as there is where nothing has to wait', () => {
  const pace = createReadPace();
  for (let now = 0; now < 100; now++)
    assert.equal(
      pace.atOnce(now, false, () => now * 1e6),
      MOST_AT_ONCE,
    );
});

for (const [line, perMs, atOnce] of [
  ['a slow line: the least', 250, 16 * KIB],
  ['20 Mbit/s: what takes 10 ms', 2500, 25_000],
  ['160 Mbit/s', 20_000, 200_000],
  ['a fast line: the most', 500_000, MOST_AT_ONCE],
] as const)
  test(`follows the line where something waits for it: ${line}`, () => {
    const { pace, taken } = onALine(perMs);
    for (let now = 0; now < 1000; now += 3) pace.atOnce(now, true, () => taken(now));
    assert.equal(pace.last(), atOnce);
  });

test('is told also of what waited between two reads', () => {
  const { pace, taken } = onALine(2500);
  for (let now = 0; now < 100; now += 5) {
    pace.waited();
    pace.atOnce(now, false, () => taken(now));
  }
  assert.equal(pace.last(), 25_000);
});

test('is not misled by what the kernel takes in a moment, nor by a pause', () => {
  const { pace, taken } = onALine(2500);
  for (let now = 0; now < 100; now += 5) pace.atOnce(now, true, () => taken(now));
  pace.atOnce(96, true, () => taken(95) + 1e6);
  assert.equal(pace.last(), 25_000);
  // Nothing was to be sent for a minute.
  pace.atOnce(60_000, true, () => taken(200));
  assert.equal(pace.last(), 25_000);
});

test('reads twice as much each time that nothing had to wait', () => {
  const { pace, taken } = onALine(2500);
  for (let now = 0; now < 100; now += 5) pace.atOnce(now, true, () => taken(now));
  const seen = [];
  for (let now = 100; now < 180; now += 5) seen.push(pace.atOnce(now, false, () => taken(now)));
  assert.deepEqual([...new Set(seen)], [25_000, 50_000, 100_000, 200_000, MOST_AT_ONCE]);
});

function onALine(perMs: number) {
  return { pace: createReadPace(), taken: (now: number) => now * perMs };
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { track, type Seen, type Tracked } from '../../src/history/tracker.ts';

const FINE: Seen = {
  working: true,
  elsewhere: false,
  silentSince: null,
  replaced: false,
  failure: null,
  cut: 0,
  slept: null,
};
const GONE: Seen = { ...FINE, working: false };
const lost = (at: number) => ({ code: 'keepalive-lost', message: 'no answer', at }) as const;
const refused = (at: number) => ({ code: 'connect-refused', message: 'nothing listens', at }) as const;

/** The state and the outages after these looks, each a second after the one before. */
function walk(first: Tracked, ...looks: readonly Partial<Seen>[]) {
  let tracked = first;
  const outages: string[] = [];
  for (const [index, look] of looks.entries()) {
    const { tracked: next, over } = track(tracked, { ...GONE, ...look }, (index + 1) * 1000);
    tracked = next;
    if (over !== null) outages.push(`${over.from}-${over.to} ${over.cause} ${over.visitors} ${over.offMs}`);
  }
  return { tracked, outages };
}

const fresh = { type: 'fresh', since: 0 } as const;

test('records no outage when a tunnel comes up for the first time', () => {
  assert.deepEqual(walk(fresh, {}, {}, FINE).outages, []);
});

test('records a tunnel as down from its start when it fails before it was ever up', () => {
  const { outages } = walk(fresh, {}, { failure: refused(1500) }, { failure: refused(2500) }, FINE);
  assert.deepEqual(outages, ['0-4000 connect-refused 0 0']);
});

test('begins an outage when the connection fell silent, with the first failure and the visitors that were cut', () => {
  const { outages } = walk(
    fresh,
    { ...FINE, cut: 3 },
    { ...FINE, cut: 3, silentSince: 1700 },
    { failure: lost(3000), cut: 4 },
    { failure: refused(4000), cut: 5 },
    { ...FINE, cut: 5 },
  );
  assert.deepEqual(outages, ['1700-5000 keepalive-lost 2 0']);
});

test('records no outage when a connection answers again after a silence', () => {
  assert.deepEqual(walk(fresh, FINE, { ...FINE, silentSince: 1700 }, FINE, FINE).outages, []);
});

test('takes a failure for the cause when it is looked at a moment after it came', () => {
  assert.deepEqual(walk(fresh, FINE, { failure: lost(1950) }, FINE).outages, ['2000-3000 keepalive-lost 0 0']);
});

test('does not take a failure for the cause when it was long ago', () => {
  const { outages } = walk(fresh, { ...FINE, failure: refused(-9000) }, { failure: refused(-9000) }, FINE);
  assert.deepEqual(outages, ['2000-3000 null 0 0']);
});

test('takes no failure for the cause when a changed tunnel takes over, unless one is seen', () => {
  const both = { ...FINE, replaced: true };
  assert.deepEqual(walk(fresh, FINE, both, {}, FINE).outages, ['3000-4000 replaced 0 0']);
  assert.deepEqual(walk(fresh, FINE, { replaced: true }, {}, FINE).outages, ['2000-4000 replaced 0 0']);
  assert.deepEqual(walk(fresh, FINE, both, { failure: lost(2900) }, FINE).outages, ['3000-4000 keepalive-lost 0 0']);
  assert.deepEqual(walk(fresh, FINE, both, {}, { failure: lost(4000) }, FINE).outages, [
    '3000-5000 keepalive-lost 0 0',
  ]);
  // Nor is what comes later laid to it.
  assert.deepEqual(walk(fresh, FINE, both, FINE, {}, FINE).outages, ['4000-5000 null 0 0']);
});

test('records an outage when a listener is seen to lead elsewhere', () => {
  assert.deepEqual(walk(fresh, FINE, { elsewhere: true }, FINE).outages, ['2000-3000 not-verified 0 0']);
});

test("begins an outage with the machine's sleep when the connection did not outlive it", () => {
  const slept = { from: 1200, ms: 700 };
  const { outages } = walk(fresh, FINE, { ...FINE, silentSince: 1900, slept }, { slept, failure: lost(3000) }, FINE);
  assert.deepEqual(outages, ['1200-4000 device-asleep 0 700']);
});

test('does not take a sleep for the cause when it ended before the tunnel came up', () => {
  const slept = { from: 500, ms: 400 };
  assert.deepEqual(walk(fresh, FINE, { slept, failure: lost(2000) }, FINE).outages, ['2000-3000 keepalive-lost 0 0']);
});

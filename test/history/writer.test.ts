import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSure } from '../../src/history/writer.ts';

const HOUR = 3_600_000;
const FRESH = { synchronised: null, now: 30_000, quietMs: 0, early: false };

const rows: readonly [string, Partial<Parameters<typeof isSure>[0]>, boolean][] = [
  ['set by the network, right after the start', { synchronised: true }, true],
  ['not set by the network, whatever the time', { synchronised: false, now: 24 * HOUR, quietMs: HOUR }, false],
  ['of which nothing is known right after an event', {}, false],
  ['of which nothing is known a minute after the last event', { now: 120_000, quietMs: 60_000 }, true],
  ['of which nothing is known on a machine that has run for an hour', { now: HOUR }, true],
  ['which shows less than it has shown before', { now: HOUR, quietMs: HOUR, early: true }, false],
];
for (const [clock, evidence, expected] of rows)
  test(`finds a clock ${clock} ${expected ? 'believed' : 'not believed'}`, () => {
    assert.equal(isSure({ ...FRESH, ...evidence }), expected);
  });

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryPart } from '../../src/http/page/document.ts';
import { cellsOfDays, partsOf, pastAt, severity } from '../../src/page/past.ts';

const HOUR = 3_600_000;
const NOW = new Date(2026, 4, 10, 12).getTime();
const outage = (from: number, to: number) =>
  ({ from, to, cause: 'disconnected', message: '', visitors: 0, offMs: 0, ended: 'up' }) as const;
const HISTORY: HistoryPart = {
  at: NOW - HOUR,
  tunnels: {
    backup: {
      watched: [{ from: NOW - 40 * HOUR, to: NOW - HOUR }],
      outages: [outage(NOW - 30 * HOUR, NOW - 29 * HOUR), outage(NOW - 13 * HOUR, NOW - 11 * HOUR)],
    },
    old: { watched: [{ from: 0, to: NOW - 9 * HOUR }], outages: [] },
  },
};

test('continues a watch until now when it went on as the history was read', () => {
  assert.equal(pastAt(HISTORY, 'backup', NOW)?.watched[0]?.to, NOW);
  assert.equal(pastAt(HISTORY, 'old', NOW)?.watched[0]?.to, NOW - 9 * HOUR);
  assert.equal(pastAt(HISTORY, 'constructor', NOW), null);
});

test('cuts days at midnight, and counts an outage in each day that it reaches', () => {
  const cells = cellsOfDays(pastAt(HISTORY, 'backup', NOW)!, 4, NOW);
  assert.deepEqual(
    cells.map(({ share, outages }) => [share.watchedMs / HOUR, share.downMs / HOUR, outages.length]),
    [
      [0, 0, 0],
      [4, 0, 0],
      [24, 2, 2],
      [12, 1, 1],
    ],
  );
  assert.equal(cells.at(-1)?.to, NOW);
});

test('cuts a span into what was watched and what was down when outages overlap it', () => {
  const past = pastAt(HISTORY, 'backup', NOW)!;
  const { watched, down } = partsOf(past, { from: NOW - 20 * HOUR, to: NOW });
  assert.deepEqual([watched, down], [[{ from: 0, to: 1 }], [{ from: 0.35, to: 0.45 }]]);
  const goesOn = {
    ...past,
    outages: [{ tunnel: 'backup', from: NOW - HOUR, cause: 'unknown', message: '', visitors: 0, offMs: 0 }],
  } as const;
  assert.deepEqual(partsOf(goesOn, { from: NOW - 10 * HOUR, to: NOW }).down, [{ from: 0.9, to: 1 }]);
});

test('shows a second of an outage, and fills the bar after a day', () => {
  const share = { watchedMs: 24 * HOUR, offMs: 0, availability: 1 };
  const of = (downMs: number, outages = 1) => severity({ ...share, downMs, outages });
  assert.deepEqual([of(0, 0), of(0), of(24 * HOUR)], [0, 0.2, 1]);
  assert.ok(of(60_000) > of(1000) && of(HOUR) > of(60_000));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryRecord } from '../../src/history/outage.ts';
import { longest, mostFrequentCause, outagesIn, pastOf, shareOf } from '../../src/history/summary.ts';

const boot = 'b';
const begin = (tunnel: string, at: number): HistoryRecord => ({ type: 'begin', tunnel, at, boot });
const end = (tunnel: string, at: number): HistoryRecord => ({ type: 'end', tunnel, at, boot });
const base = { tunnel: 'a', cause: 'keepalive-lost', message: '', visitors: 0, offMs: 0, boot } as const;
const outage = (from: number, to: number, more: Partial<Extract<HistoryRecord, { type: 'outage' }>> = {}) =>
  ({ type: 'outage', ...base, from, to, ended: 'up', ...more }) as const;

function past(...records: readonly HistoryRecord[]) {
  return pastOf(records, 1000).get('a') ?? assert.fail('nothing is known of the tunnel');
}

const rows: readonly [string, readonly HistoryRecord[], [from: number, to: number], unknown][] = [
  ['all of a quiet time', [begin('a', 0)], [0, 1000], [1000, 0, 0, 0, 1]],
  ['an outage in the middle', [begin('a', 0), outage(100, 200)], [0, 1000], [1000, 100, 0, 1, 0.9]],
  ['an outage that reaches into the time', [begin('a', 0), outage(400, 600)], [500, 1000], [500, 100, 0, 1, 0.8]],
  ['an outage before the time', [begin('a', 0), outage(400, 500)], [500, 1000], [500, 0, 0, 0, 1]],
  ['a tunnel that is younger than the time', [begin('a', 600), outage(600, 800)], [0, 1000], [400, 200, 0, 1, 0.5]],
  ['a time before the tunnel', [begin('a', 600)], [0, 500], [0, 0, 0, 0, undefined]],
  [
    'a tunnel that was removed and came again',
    [begin('a', 0), end('a', 100), begin('a', 900)],
    [0, 1000],
    [200, 0, 0, 0, 1],
  ],
  ['two outages that overlap', [begin('a', 0), outage(100, 300), outage(200, 400)], [0, 1000], [1000, 300, 0, 2, 0.7]],
  ['an outage that goes on', [begin('a', 0), { type: 'down', ...base, from: 900 }], [0, 1000], [1000, 100, 0, 1, 0.9]],
  [
    'an outage that went on and then ended',
    [begin('a', 0), { type: 'down', ...base, from: 700 }, outage(700, 800)],
    [0, 1000],
    [1000, 100, 0, 1, 0.9],
  ],
  ['the time without power', [begin('a', 0), outage(500, 700, { offMs: 150 })], [0, 1000], [1000, 200, 150, 1, 0.8]],
  ['a file whose beginning was dropped', [outage(500, 600)], [0, 1000], [500, 100, 0, 1, 0.8]],
];
for (const [what, records, [from, to], expected] of rows)
  test(`counts ${what}`, () => {
    const { watchedMs, downMs, offMs, outages, availability } = shareOf(past(...records), { from, to });
    assert.deepEqual([watchedMs, downMs, offMs, outages, availability], expected);
  });

test('tells tunnels apart when their records are mixed', () => {
  const pasts = pastOf([begin('a', 0), begin('b', 0), outage(100, 200), outage(300, 310, { tunnel: 'b' })], 1000);
  assert.deepEqual(
    [...pasts].map(([name, { outages }]) => [name, outages.map(({ from }) => from)]),
    [
      ['a', [100]],
      ['b', [300]],
    ],
  );
});

test('names the cause of most outages, and of several the one that lasted longest, as the most frequent', () => {
  const { outages } = past(
    outage(0, 5),
    outage(10, 20, { cause: 'network-down' }),
    outage(30, 31, { cause: 'device-off' }),
    outage(40, 42),
    outage(50, 90, { cause: 'network-down' }),
  );
  assert.equal(mostFrequentCause(outages, 1000), 'network-down');
  assert.equal(longest(outages, 1000)?.from, 50);
  assert.equal(mostFrequentCause([], 1000), null);
  assert.equal(longest([], 1000), null);
});

test('counts an outage up to now while it goes on', () => {
  const { outages } = past(outage(0, 100), { type: 'down', ...base, from: 600 });
  assert.equal(longest(outages, 1000)?.from, 600);
});

test('finds outages of a piece of time when they reach into it', () => {
  const { outages } = past(outage(0, 100), outage(200, 300), outage(400, 500));
  assert.deepEqual(
    outagesIn(outages, { from: 100, to: 400 }).map(({ from }) => from),
    [200],
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plural } from '../../src/lib/text.ts';
import { formatBytes, formatLength, formatMs, formatShare } from '../../src/page/format.ts';

test('writes bytes with at most three digits and a unit', () => {
  const rows = [0, 999, 1000, 1536, 10_240, 1_200_000, 5e12, 3e15];
  assert.deepEqual(rows.map(formatBytes), [
    '0 B',
    '999 B',
    '1.0 KiB',
    '1.5 KiB',
    '10 KiB',
    '1.1 MiB',
    '4.5 TiB',
    '2728 TiB',
  ]);
});

test('writes no share as 100 % unless it is', () => {
  assert.deepEqual([1, 0.999_999_9, 0.999_5, 0.995_67, 0.5, 0].map(formatShare), [
    '100 %',
    '99.999 %',
    '99.950 %',
    '99.56 %',
    '50.0 %',
    '0.0 %',
  ]);
});

test('writes short times with their digits', () => {
  assert.deepEqual([0.12, 12.3, 1500].map(formatMs), ['0.1 ms', '12 ms', '2s']);
  assert.deepEqual([300, 90_000].map(formatLength), ['less than 1s', '1m 30s']);
  assert.deepEqual([plural(1, 'outage'), plural(0, 'outage')], ['1 outage', '0 outages']);
});

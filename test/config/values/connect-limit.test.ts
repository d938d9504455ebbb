import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printConnectLimit, readConnectLimit } from '../../../src/config/values/connect-limit.ts';
import { BadValue } from '../../../src/config/values/value.ts';

for (const [text, count, windowMs] of [
  ['4/minute', 4, 60_000],
  ['4/min', 4, 60_000],
  ['4/m', 4, 60_000],
  ['5/30', 5, 30_000],
  ['6/1m30s', 6, 90_000],
  ['1/sec', 1, 1000],
  ['10/hour', 10, 3_600_000],
] as const)
  test(`reads ${text}, and its own printing of it`, () => {
    assert.deepEqual(readConnectLimit(text), { count, windowMs });
    assert.deepEqual(readConnectLimit(printConnectLimit({ count, windowMs })), { count, windowMs });
  });

test('prints what was found out when it is auto', () => {
  assert.equal(readConnectLimit('auto'), null);
  assert.equal(printConnectLimit(null), 'auto');
});

for (const bad of [
  null,
  '',
  4,
  '4',
  '4/',
  '/minute',
  '0/minute',
  '4/fortnight',
  '4/0',
  '4/2h',
  '4 / minute',
  ['4/m'],
  true,
])
  test(`refuses ${JSON.stringify(bad)}`, () => {
    assert.throws(() => readConnectLimit(bad), BadValue);
  });

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printRekeyLimit, readRekeyLimit } from '../../../src/config/values/restrictions.ts';
import { BadValue } from '../../../src/config/values/value.ts';

for (const [text, bytes, ms] of [
  ['1G', 1024 ** 3, null],
  ['1G 1h', 1024 ** 3, 3_600_000],
  ['1.5g none', 1.5 * 1024 ** 3, null],
  ['0.5K 5', 512, 5000],
  ['2T', 2 * 1024 ** 4, null],
  ['64b', 64, null],
  ['default 1d', null, 86_400_000],
] as const)
  test(`reads the limit ${text} as ssh does, and its own printing of it`, () => {
    assert.deepEqual(readRekeyLimit(text), { bytes, ms });
    assert.deepEqual(readRekeyLimit(printRekeyLimit({ bytes, ms })), { bytes, ms });
  });

for (const none of ['none', 'default', 'default none', '0', 0])
  test(`reads ${none} as no limit of its own`, () => assert.equal(readRekeyLimit(none), null));

for (const bad of ['', '15', '1X', '1e9', '-1G', '.5G', '1G 1h 1', 'lots', null])
  test(`refuses the limit ${JSON.stringify(bad)}`, () => {
    assert.throws(() => readRekeyLimit(bad), BadValue);
  });

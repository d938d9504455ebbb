import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { sortInConstantTime } from '../../../../src/connection/ssh2/kex/constant-time-sort.ts';
import { atOnce } from '../../../../src/lib/async/slices.ts';

test('sorts as any other sort does, whatever the length and the order', () => {
  const extremes = [0, 1, 2, 3, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, 0xffff_ffff];
  const cases = [
    ...[0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 761].map((length) => {
      const bytes = randomBytes(4 * length);
      return Array.from({ length }, (_, i) => bytes.readUInt32LE(4 * i));
    }),
    ...extremes.map((_, at) => [...extremes.slice(at), ...extremes.slice(0, at), ...extremes]),
    extremes.toReversed(),
  ];
  for (const numbers of cases) {
    const sorted = Uint32Array.from(numbers);
    atOnce(sortInConstantTime(sorted));
    assert.deepEqual(sorted, Uint32Array.from(numbers).toSorted());
  }
});

test('sorts every order of zeros and ones, and with them every order of anything, when there are few', () => {
  // A sorting network is right for all numbers when it is for these (the zero-one principle, Knuth, section 5.3.4).
  for (let length = 0; length <= 12; length++) {
    for (let bits = 0; bits < 2 ** length; bits++) {
      const numbers = Uint32Array.from({ length }, (_, i) => (bits >> i) & 1);
      const expected = numbers.toSorted();
      atOnce(sortInConstantTime(numbers));
      assert.deepEqual(numbers, expected);
    }
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TransferSpeed } from '../../../src/net/streams/transfer-speed.ts';

const MIB = 1024 * 1024;

const CASES: readonly (readonly [
  what: string,
  reads: readonly (readonly [at: number, mib: number])[],
  isFast: boolean,
])[] = [
  ['the first bytes', [[0, 1.9]], false],
  ['2 MiB at once', [[0, 2]], true],
  ['2 MiB within 8 ms', [[0, 1], [4, 0.5], [8, 0.5]], true], // prettier-ignore
  ['2 MiB in more than 8 ms', [[0, 1], [4, 0.5], [8.1, 0.5]], false], // prettier-ignore
  ['little behind a fast period', [[0, 2], [8.1, 0.1]], true], // prettier-ignore
  ['little behind a slow period', [[0, 2], [8.1, 0.1], [16.3, 0.1]], false], // prettier-ignore
  ['what comes long after a fast period', [[0, 2], [17, 0.1]], false], // prettier-ignore
];

for (const [what, reads, isFast] of CASES)
  test(`${what} ${isFast ? 'is of a fast transfer' : 'is not'}`, () => {
    const speed = new TransferSpeed();
    const answers = reads.map(([at, mib]) => speed.isFast(mib * MIB, 1000 + at));
    assert.equal(answers.at(-1), isFast);
  });

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAILURES, TunnelFailure } from '../../../src/model/failure.ts';
import { nameLostPackets, type Stall } from '../../../src/connection/route/large-packets.ts';

const failure = new TunnelFailure('handshake-failed', 'too slow');
const stall: Stall = { identified: true, unacknowledged: 1500, silentMs: 10_000 };

for (const [what, change, named] of [
  ['much of ours is not acknowledged', {}, /1500 bytes sent are not acknowledged/],
  ['all of ours is acknowledged, and nothing comes', { unacknowledged: 0 }, /fell silent/],
  ['the system does not tell', { unacknowledged: null }, /fell silent/],
  ['the server never said what it is', { identified: false }, null],
  ['something came a moment ago: it is slow', { silentMs: 500 }, null],
] as const)
  test(`is ${named === null ? 'not ' : ''}blamed on large packets when a handshake stops where ${what}`, () => {
    const found = nameLostPackets(failure, { ...stall, ...change });
    if (named === null) assert.equal(found, failure);
    else assert.match(found.message, named);
    assert.equal(found.hint === FAILURES['handshake-failed'].hint, named === null);
  });

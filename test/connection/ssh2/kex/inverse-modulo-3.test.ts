import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inverseModulo3 } from '../../../../src/connection/ssh2/kex/inverse-modulo-3.ts';
import { multiply, P, type Polynomial } from '../../../../src/connection/ssh2/kex/small-ring.ts';
import { seeded } from '../../../support/seeded.ts';

test('inverts what has an inverse modulo 3, and finds none for the others', () => {
  const random = seeded(3);
  const one = new Int32Array(P);
  one[0] = 1;
  let inverted = 0;
  for (let round = 0; round < 60; round += 1) {
    const a = Int32Array.from({ length: P }, () => Math.floor(random() * 3) - 1);
    const inverse = atOnce(inverseModulo3(a));
    if (inverse === null) continue;
    inverted += 1;
    assert.deepEqual(atOnce(multiply(a, inverse, 3)), one);
  }
  assert.ok(inverted > 40, String(inverted));
  const x = new Int32Array(P);
  x[1] = -1;
  assert.deepEqual(atOnce(multiply(x, atOnce(inverseModulo3(x))!, 3)), one);
  assert.equal(atOnce(inverseModulo3(new Int32Array(P))), null);
});

function atOnce(work: Generator<undefined, Polynomial>): Polynomial;
function atOnce(work: Generator<undefined, Polynomial | null>): Polynomial | null;
function atOnce(work: Generator<undefined, Polynomial | null>): Polynomial | null {
  let step = work.next();
  while (step.done !== true) step = work.next();
  return step.value;
}

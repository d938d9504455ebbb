import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allOnce } from '../../../src/lib/async/all-once.ts';

test('is done when each was called, however often one is', () => {
  let done = 0;
  const [one, other] = allOnce(2, () => (done += 1));
  one!();
  one!();
  assert.equal(done, 0);
  other!();
  one!();
  other!();
  assert.equal(done, 1);
  assert.deepEqual(
    allOnce(0, () => (done += 1)),
    [],
  );
  assert.equal(done, 2);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSlots } from '../../src/lib/slots.ts';
import { seeded } from '../support/seeded.ts';

test('gives each entry a number of its own, those of removed ones again, and finds it by that', () => {
  const slots = createSlots<string>();
  assert.deepEqual(['a', 'b', 'c'].map(slots.add), [0, 1, 2]);
  slots.remove(1);
  slots.remove(1);
  slots.remove(7);
  assert.deepEqual([slots.count(), slots.get(1), slots.get(2), slots.get(7)], [2, undefined, 'c', undefined]);
  assert.deepEqual(slots.entries(), [
    [0, 'a'],
    [2, 'c'],
  ]);
  assert.deepEqual([slots.add('d'), slots.add('e')], [1, 3]);
  assert.deepEqual(
    slots.entries().map(([, entry]) => entry),
    ['a', 'd', 'c', 'e'],
  );
});

test('removes an entry by its number no more when that is of another by now', () => {
  const slots = createSlots<string>();
  const number = slots.add('a');
  slots.remove(number, 'a');
  assert.equal(slots.add('b'), number);
  slots.remove(number, 'a');
  assert.deepEqual([slots.get(number), slots.count()], ['b', 1]);
  slots.remove(number, 'b');
  assert.equal(slots.count(), 0);
});

test('is a Map of the same entries, whatever comes and goes, and no longer than most at once', () => {
  const random = seeded(7);
  const slots = createSlots<object>();
  const model = new Map<number, object>();
  let most = 0;
  for (let step = 0; step < 20_000; step++) {
    if (model.size > 0 && random() < 0.5) {
      const numbers = [...model.keys()];
      const number = numbers[Math.floor(random() * numbers.length)]!;
      slots.remove(number);
      model.delete(number);
    } else {
      const entry = {};
      const number = slots.add(entry);
      assert.equal(model.has(number), false);
      model.set(number, entry);
      most = Math.max(most, model.size);
      assert.ok(number < most);
    }
    assert.equal(slots.count(), model.size);
  }
  for (const [number, entry] of model) assert.equal(slots.get(number), entry);
});

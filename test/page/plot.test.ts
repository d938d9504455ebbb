import assert from 'node:assert/strict';
import { test } from 'node:test';
import { areaPath, axisEnd, linePath } from '../../src/page/plot.ts';

const SIZE = { width: 40, height: 10 };

test('ends a line at the right, and interrupts it where there is no value', () => {
  assert.equal(linePath([5, null, 10], 4, 10, SIZE), 'M10 5H20M30 0H40');
  assert.equal(linePath([], 4, 10, SIZE), '');
  assert.equal(linePath([99], 4, 10, SIZE), 'M30 0H40');
});

test('puts an area on the floor', () => {
  assert.equal(areaPath([0, 10], 4, 10, SIZE), 'M20 10L20 10H30L30 0H40L40 10Z');
  assert.equal(areaPath([], 4, 10, SIZE), '');
});

test('ends an axis at a round number', () => {
  assert.deepEqual([0, 0.7, 1, 31, 200, 501].map(axisEnd), [1, 1, 1, 50, 200, 1000]);
});

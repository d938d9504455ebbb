import assert from 'node:assert/strict';
import { test } from 'node:test';
import { besides, unassignedPorts } from '../../src/host/port-range.ts';

test("chooses ports outside of the system's ephemeral range: above it, else below", () => {
  assert.deepEqual(besides(32_768, 60_999), { low: 61_000, high: 65_535 });
  assert.deepEqual(besides(49_152, 65_535), { low: 20_000, high: 49_151 });
  assert.deepEqual(besides(1024, 65_535), { low: 20_000, high: 65_535 });
  assert.deepEqual(besides(1024, 4999), { low: 20_000, high: 65_535 });
});

test('finds ports on this machine', () => {
  const { low, high } = unassignedPorts();
  assert.ok(low >= 20_000 && high <= 65_535 && high - low >= 1000);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockedDelay, cheapDelay, loginBackoff, loginDelay, reconnectDelay } from '../../src/tunnel/backoff.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const limits = { minMs: 1000, maxMs: 60_000 };
const least = () => 0;
const most = () => 1;
const middle = () => 0.5;

test('waits a second when a failure was cheap, two in a long outage, give or take a quarter, never less than is wanted', () => {
  assert.equal(cheapDelay(0, 1000, middle), 1000);
  assert.equal(cheapDelay(24 * HOUR, 1000, middle), 2000);
  assert.equal(cheapDelay(24 * HOUR, 30 * SECOND, middle), 30_000);
  assert.deepEqual([cheapDelay(HOUR, 1000, least), cheapDelay(HOUR, 1000, most)], [1500, 2500]);
});

test('doubles the waits after a login, from one to two minima, up to near the maximum', () => {
  for (const [random, first, last] of [
    [least, 1000, 48_000],
    [most, 2000, 60_000],
  ] as const) {
    const drawn = loginBackoff(limits, random);
    const delays = Array.from({ length: 2000 }, (_, grown) => loginDelay(drawn, grown));
    assert.deepEqual(delays.slice(0, 4), [first, first * 2, first * 4, first * 8]);
    assert.ok(delays.slice(7).every((delay) => delay === last));
  }
});

test('waits a minute or more while a person must act, and five when a login was rejected', () => {
  assert.deepEqual(
    [blockedDelay('host-key-changed', 0, limits, least), blockedDelay('host-key-changed', 1, limits, most)],
    [54_000, 66_000],
  );
  assert.deepEqual(
    [blockedDelay('auth-rejected', 0, limits, least), blockedDelay('auth-rejected', 3, limits, most)],
    [270_000, 330_000],
  );
  assert.equal(blockedDelay('auth-rejected', 0, { minMs: 1000, maxMs: 1_800_000 }, middle), 1_800_000);
});

test('tries again soon at first when a login was rejected that had worked before', () => {
  assert.deepEqual(
    [1, 2, 3, 4].map((rejections) => blockedDelay('auth-rejected', rejections, limits, middle)),
    [20_000, 60_000, 300_000, 300_000],
  );
});

test('tries at once when a connection had lasted', () => {
  assert.deepEqual([reconnectDelay(least), reconnectDelay(most)], [30, 130]);
});

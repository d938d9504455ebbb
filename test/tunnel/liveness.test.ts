import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assess, startLiveness, type LivenessOptions, type Traffic } from '../../src/tunnel/liveness.ts';

const options: LivenessOptions = { intervalMs: 15_000, countMax: 3 };
const still: Traffic = { bytesHeard: 10, bytesSent: 10, backlog: 0 };

/** Follows the advice to the letter; `traffic` tells the counters at a time. Says when it asked, and when it gave up. */
function follow(traffic: (now: number) => Traffic, untilMs: number, how: LivenessOptions = options) {
  const asked: number[] = [];
  let live = startLiveness(0, traffic(0));
  for (let now = 0; now <= untilMs;) {
    const { next, verdict } = assess(live, now, traffic(now), how);
    live = next;
    if (verdict.type === 'dead') return { asked, deadAt: now, silentMs: verdict.silentMs };
    if (verdict.type === 'ask') asked.push(now);
    const wait = verdict.type === 'wait' ? verdict.ms : how.intervalMs;
    assert.ok(wait > 0, 'no tight loop');
    now += wait;
  }
  return { asked, deadAt: null, silentMs: null };
}

test('silence: three questions, and the end after four intervals', () => {
  assert.deepEqual(
    follow(() => still, 100_000),
    {
      asked: [15_000, 30_000, 45_000],
      deadAt: 60_000,
      silentMs: 60_000,
    },
  );
  assert.equal(follow(() => still, 100_000, { intervalMs: 1000, countMax: 1 }).deadAt, 2000);
});

test('answers keep it alive for ever, and a busy peer is not asked', () => {
  const answering = follow((now) => ({ ...still, bytesHeard: Math.floor(now / 15_000) * 36 }), 1_000_000);
  assert.equal(answering.deadAt, null);
  assert.deepEqual(
    follow((now) => ({ ...still, bytesHeard: now }), 1_000_000),
    { asked: [], deadAt: null, silentMs: null },
  );
});

test('the silence is counted from the last sign of life', () => {
  const { deadAt, silentMs } = follow((now) => ({ ...still, bytesHeard: Math.min(now, 100_000) }), 1_000_000);
  assert.ok(deadAt !== null && deadAt >= 160_000 && deadAt <= 180_000, `dead at ${deadAt}`);
  assert.ok(silentMs >= 60_000 && silentMs <= 75_000, `silent for ${silentMs}`);
});

test('a backlog that shrinks is life, one that stands still is not', () => {
  const shrinking = (now: number) => ({ bytesHeard: 10, bytesSent: now, backlog: 5_000_000 - now });
  assert.equal(follow(shrinking, 1_000_000).deadAt, null);
  assert.equal(follow(() => ({ ...still, backlog: 5_000_000 }), 100_000).deadAt, 60_000);
});

test('bytes that a buffer with room has taken prove nothing', () => {
  assert.equal(follow((now) => ({ bytesHeard: 10, bytesSent: now, backlog: 0 }), 100_000).deadAt, 60_000);
});

test('asked too early, it tells how long to wait', () => {
  const live = startLiveness(1000, still);
  assert.deepEqual(assess(live, 5000, still, options).verdict, { type: 'wait', ms: 11_000 });
});

test('a program that was held up for an hour asks before it gives up', () => {
  assert.deepEqual(assess(startLiveness(0, still), 3_600_000, still, options).verdict, { type: 'ask' });
});

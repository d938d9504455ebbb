import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSamples, STEP_MS, STEPS } from '../../../src/http/page/samples.ts';
import { runningTunnel } from '../../support/running.ts';

const at = (bytesIn: number, rttMs: number | null = 5, name = 't') =>
  runningTunnel(
    name,
    { phase: 'up', rttMs },
    {
      counters: {
        connections: 0,
        totalConnections: 0,
        refusedConnections: 0,
        cutConnections: 0,
        bytesIn,
        bytesOut: 2 * bytesIn,
      },
    },
  );

test('keeps the longest round trip of a step, and the bytes that came in it', () => {
  const samples = createSamples();
  samples.take([at(100)], 0);
  samples.take([at(150, 9)], 1000);
  samples.take([at(160, 7)], 2000);
  samples.take([at(200, 6)], STEP_MS);
  assert.deepEqual(samples.series(0), { t: { rtt: [9, 6], in: [60, 40], out: [120, 80] } });
  assert.deepEqual(samples.series(1), { t: { rtt: [6], in: [40], out: [80] } });
});

test('spreads what came while nothing looked over that time', () => {
  const samples = createSamples();
  samples.take([at(0)], 0);
  samples.take([at(90, null)], 3 * STEP_MS);
  assert.deepEqual(samples.series(0), { t: { rtt: [5, null, null, null], in: [0, 30, 30, 30], out: [0, 60, 60, 60] } });
});

test('counts from 0 when a tunnel was replaced, and forgets one that is gone', () => {
  const samples = createSamples();
  samples.take([at(100), at(1, 1, 'u')], 0);
  samples.take([at(30)], 1000);
  assert.deepEqual(samples.series(0), { t: { rtt: [5], in: [30], out: [60] } });
});

test('forgets a sample when it is older than a day', () => {
  const samples = createSamples();
  for (let step = 0; step < 3 * STEPS; step++) samples.take([at(step)], step * STEP_MS);
  const { t } = samples.series(0);
  assert.equal(t?.in.length, STEPS);
  assert.ok(t?.in.every((bytes) => bytes === 1));
  samples.take([at(3 * STEPS)], 9 * STEPS * STEP_MS);
  assert.equal(samples.series(0)['t']?.rtt.filter((value) => value !== null).length, 1);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { daemonPart, type PageDocument, type SamplesPart } from '../../src/http/page/document.ts';
import { applyChange, initialPage } from '../../src/page/state.ts';
import { statusOf } from '../support/page-fixture.ts';
import { runningTunnel } from '../support/running.ts';

function documentAt(now: number, bytesIn: number, samples: SamplesPart = samplesOf(5, [1, 2])): PageDocument {
  const counters = {
    connections: 0,
    totalConnections: 0,
    refusedConnections: 0,
    cutConnections: 0,
    bytesIn,
    bytesOut: 0,
  };
  const status = statusOf([runningTunnel('a', {}, { counters }), runningTunnel('b', {})], { now, wall: now });
  return { daemon: daemonPart(status), tunnels: status.tunnels, history: { at: 0, tunnels: {} }, log: ['1'], samples };
}

function samplesOf(step: number, values: readonly number[]): SamplesPart {
  return { stepMs: 1, step, tunnels: { a: { rtt: values, in: values, out: values } } };
}

test('replaces what has changed, and leaves the rest, when a document comes', () => {
  const first = documentAt(0, 0);
  const next = documentAt(2000, 500);
  const after = applyChange(initialPage(first), {
    daemon: next.daemon,
    tunnels: [next.tunnels[0]!],
    log: ['2'],
    logOmitted: 7,
  });
  assert.equal(after.tunnels[0], next.tunnels[0]);
  assert.equal(after.tunnels[1], first.tunnels[1]);
  assert.deepEqual(after.log, [{ line: '1' }, { omitted: 7 }, { line: '2' }]);
  assert.deepEqual(after.rates, { a: { in: 250, out: 0 }, b: { in: 0, out: 0 } });
  assert.equal(after.history, first.history);
});

test('orders tunnels by the names, and drops those that are not among them', () => {
  const { daemon } = documentAt(1, 0);
  const after = applyChange(initialPage(documentAt(0, 0)), { daemon, names: ['b', 'missing'] });
  assert.deepEqual(
    after.tunnels.map(({ name }) => name),
    ['b'],
  );
});

test('continues known steps with new ones from the last of them', () => {
  const { daemon } = documentAt(1, 0);
  const start = initialPage(documentAt(0, 0));
  const of = (samples: SamplesPart) => applyChange(start, { daemon, samples }).samples.tunnels['a']?.in;
  assert.deepEqual(of(samplesOf(5, [3])), [1, 3]);
  assert.deepEqual(of(samplesOf(7, [3, 4, 5])), [1, 3, 4, 5]);
  const day = Array.from({ length: 288 }, (_, index) => index);
  assert.deepEqual(of(samplesOf(400, day)), day);
});

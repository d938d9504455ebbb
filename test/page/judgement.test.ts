import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokenSince, lookOf, stateText, summary, troubleOf } from '../../src/page/judgement.ts';
import type { ForwardState, TunnelState } from '../../src/model/state.ts';
import { statusOf } from '../support/page-fixture.ts';
import { runningTunnel } from '../support/running.ts';

function tunnel(state: Partial<TunnelState>, forward: Partial<ForwardState> = {}) {
  return statusOf([runningTunnel('t', state, forward)], { now: 10_000, wall: 10_000 }).tunnels[0]!;
}

const UP = tunnel({ phase: 'up' }, { state: 'up', verified: 'yes' });
const FAILURE = { code: 'connect-refused', message: 'refused', hint: 'start sshd', at: 0 } as const;
const WAITING = tunnel({ phase: 'waiting', retryAt: 15_000, failure: FAILURE, since: 4000 });
const STARTING = tunnel({ phase: 'connecting' });
const FAULTY = tunnel(
  { phase: 'up' },
  { state: 'up', verified: 'yes', targetFailure: { ...FAILURE, code: 'target-unreachable' } },
);

test('gives a tunnel the look of its state now', () => {
  assert.deepEqual([UP, FAULTY, STARTING, WAITING, tunnel({ phase: 'connecting', failure: FAILURE })].map(lookOf), [
    'up',
    'degraded',
    'trying',
    'down',
    'down',
  ]);
  assert.equal(stateText(tunnel({ phase: 'up', silentSince: 5000 })), 'up, but silent');
});

test('counts in the summary what is not up', () => {
  assert.deepEqual(
    [[], [UP], [UP, UP], [WAITING], [UP, WAITING], [WAITING, WAITING, UP], [FAULTY], [UP, FAULTY], [UP, STARTING]].map(
      (all) => summary(all),
    ),
    [
      'No tunnels are configured',
      'The tunnel is up',
      'All 2 tunnels are up',
      'The tunnel is down',
      '1 of 2 tunnels is down',
      '2 of 3 tunnels are down',
      'The tunnel is up, with a fault',
      'All 2 tunnels are up, 1 with a fault',
      '1 of 2 tunnels is not up yet',
    ],
  );
});

test('tells what is wrong with its cure and the next attempt', () => {
  assert.equal(troubleOf(UP, 10_000), null);
  assert.deepEqual(troubleOf(WAITING, 10_000), {
    message: 'refused (connect-refused); next attempt in 5s',
    hint: 'start sshd',
  });
  assert.match(troubleOf(FAULTY, 10_000)?.message ?? '', /^localhost:8080: refused \(target-unreachable\)$/);
  assert.match(troubleOf(tunnel({ phase: 'up', silentSince: 5000 }), 10_000)?.message ?? '', /silent for 5s/);
});

test('counts the time down from the beginning of the outage, not from the last attempt', () => {
  const outages = [{ from: 1000, cause: 'disconnected', message: '', visitors: 0, offMs: 0 }] as const;
  const history = { at: 0, tunnels: { t: { watched: [], outages } } };
  assert.equal(brokenSince({ history }, WAITING), 1000);
  assert.equal(brokenSince({ history: { at: 0, tunnels: {} } }, WAITING), 4000);
});

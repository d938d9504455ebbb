import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TunnelFailure } from '../../src/model/failure.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { initialState, NOT_ASKED } from '../../src/model/state.ts';
import { createStore, reduce, type TunnelEvent } from '../../src/tunnel/store.ts';
import { fakeClock } from '../support/clock.ts';
import { seeded } from '../support/seeded.ts';

const listen = { type: 'tcp', host: 'localhost', port: 1 } as const;
const forward = { kind: 'remote', listen, target: listen };
const SPEC = { name: 'home', forwards: [forward, forward] } as unknown as TunnelSpec;
const failure = new TunnelFailure('host-key-unknown', 'm');

const ALGORITHMS = { keyExchange: 'curve25519-sha256', hostKey: 'ssh-ed25519', hostCertificate: null };
const ATTEMPT: TunnelEvent = { type: 'attempt', waits: false };
const REACHED: TunnelEvent = { type: 'reached' };
const AUTHENTICATING: TunnelEvent = { type: 'authenticating' };
const LOGGED_IN: TunnelEvent = {
  type: 'logged-in',
  login: 'publickey',
  certificate: null,
  algorithms: ALGORITHMS,
  carrier: null,
};
const UP: TunnelEvent = { type: 'up' };
const OVER: TunnelEvent = { type: 'session-over' };
const WAIT: TunnelEvent = { type: 'scheduled', phase: 'waiting', retryAt: 99, failure };
const BLOCKED: TunnelEvent = { ...WAIT, phase: 'blocked' };
const QUEUED: TunnelEvent = { type: 'queued', until: 50 };
const NO_NETWORK: TunnelEvent = { type: 'no-network', failure };

/** The state after these events, one a millisecond from 1 on. */
function after(...events: readonly TunnelEvent[]) {
  return events.reduce(
    (state, event, index) => reduce(state, event, { now: index + 1, tunnel: SPEC.name }),
    initialState(SPEC, 0),
  );
}

const CASES: readonly [string, readonly TunnelEvent[], string][] = [
  ['an attempt', [ATTEMPT], 'connecting since 0, 1 attempts'],
  ['the way up', [ATTEMPT, REACHED, AUTHENTICATING, LOGGED_IN, UP], 'up since 5, 0 attempts, last up 5'],
  ['a wait for a turn', [ATTEMPT, QUEUED], 'waiting since 2, 1 attempts, next 50'],
  ['its end', [ATTEMPT, QUEUED, REACHED], 'connecting since 3, 1 attempts'],
  ['a turn for an attempt that is further', [ATTEMPT, LOGGED_IN, QUEUED], 'forwarding since 2, 1 attempts'],
  ['a connection of another tunnel in that wait', [ATTEMPT, QUEUED, LOGGED_IN], 'forwarding since 3, 1 attempts'],
  ['no network', [ATTEMPT, NO_NETWORK], 'waiting-for-network since 2, 1 attempts, host-key-unknown'],
  ['a failure', [ATTEMPT, OVER, WAIT], 'waiting since 3, 1 attempts, next 99, host-key-unknown'],
  [
    'the next attempt, which is announced until the server answers',
    [ATTEMPT, WAIT, { type: 'attempt', waits: true }],
    'waiting since 2, 2 attempts, next 99, host-key-unknown',
  ],
  [
    'it waits for its turn',
    [WAIT, { ...QUEUED, until: 120 }],
    'waiting since 1, 0 attempts, next 120, host-key-unknown',
  ],
  ['the network goes then', [WAIT, NO_NETWORK], 'waiting-for-network since 2, 0 attempts, host-key-unknown'],
  ['a person must act', [ATTEMPT, BLOCKED], 'blocked since 2, 1 attempts, next 99, host-key-unknown'],
  ['once more', [BLOCKED, ATTEMPT, BLOCKED], 'blocked since 3, 1 attempts, next 99, host-key-unknown'],
  ['a lost session', [UP, OVER, WAIT], 'waiting since 3, 0 attempts, last up 3, next 99, host-key-unknown'],
  ['a lost listener', [UP, { type: 'incomplete' }], 'forwarding since 2, 0 attempts, last up 2'],
  [
    'something that does not end it',
    [UP, { type: 'failed', failure }],
    'up since 1, 0 attempts, last up 1, host-key-unknown',
  ],
  ['a hold back without a reason', [{ ...WAIT, failure: null }], 'waiting since 1, 0 attempts, next 99'],
  ['a stop', [ATTEMPT, WAIT, { type: 'stopped' }], 'stopped since 3, 1 attempts, host-key-unknown'],
];

for (const [what, events, expected] of CASES) {
  test(`goes on to the next state: ${what}`, () => {
    const { phase, since, attempts, lastUp, retryAt, failure: last } = after(...events);
    const parts = [
      `${phase} since ${since}, ${attempts} attempts`,
      ...(lastUp === null ? [] : [`last up ${lastUp}`]),
      ...(retryAt === null ? [] : [`next ${retryAt}`]),
      ...(last === null ? [] : [last.code]),
    ];
    assert.equal(parts.join(', '), expected);
  });
}

test('forgets with a session what it knew, and keeps what was counted', () => {
  const session: readonly TunnelEvent[] = [
    { type: 'source-port', port: 4000 },
    LOGGED_IN,
    { type: 'watched', change: { rttMs: 12, silentSince: 3 } },
    { type: 'forward', index: 1, change: { state: 'up', boundPort: 7, verified: 'yes' } },
  ];
  const { sourcePort, login, rttMs, silentSince, forwards } = after(...session);
  assert.deepEqual([sourcePort, login, rttMs, silentSince], [4000, 'publickey', 12, 3]);
  assert.deepEqual([forwards[0]?.state, forwards[1]?.state, forwards[1]?.boundPort], ['pending', 'up', 7]);
  const gone = after(...session, OVER);
  assert.deepEqual([gone.sourcePort, gone.login, gone.carrier, gone.rttMs, gone.silentSince], Array(5).fill(null));
  const { spec, targetFailure, counters, open } = initialState(SPEC, 0).forwards[1]!;
  assert.deepEqual(gone.forwards[1], { spec, targetFailure, counters, open, ...NOT_ASKED });
});

test('names the tunnel in its hints', () => {
  assert.match(after(WAIT).failure?.hint ?? '', /`sudo tunneld trust home`/);
});

test('announces a next attempt while it waits and at no other time, and lets no time go back, whatever happens', () => {
  const events = [ATTEMPT, REACHED, AUTHENTICATING, LOGGED_IN, UP, OVER, WAIT, BLOCKED, QUEUED, NO_NETWORK];
  const random = seeded(1);
  let state = initialState(SPEC, 0);
  for (let now = 1; now <= 5000; now++) {
    const before = state;
    state = reduce(state, events[Math.floor(random() * events.length)]!, { now, tunnel: SPEC.name });
    assert.equal(state.retryAt !== null, state.phase === 'waiting' || state.phase === 'blocked');
    assert.equal(state.since, state.phase === before.phase ? before.since : now);
    assert.ok((state.lastUp ?? 0) >= (before.lastUp ?? 0));
    if (before.phase === 'up' && state.phase !== 'up') assert.equal(state.lastUp, now);
  }
});

test('tells its listener the old and the new state after each event, until it is removed', async () => {
  const clock = fakeClock();
  const store = createStore(SPEC, clock);
  const told: string[] = [];
  const forget = store.subscribe((now, before) => {
    assert.equal(now, store.state());
    told.push(`${before.phase} → ${now.phase} at ${now.since}`);
  });
  await clock.advance(10);
  store.dispatch(LOGGED_IN);
  store.dispatch(UP);
  forget();
  store.dispatch(OVER);
  assert.deepEqual(told, ['connecting → forwarding at 10', 'forwarding → up at 10']);
});

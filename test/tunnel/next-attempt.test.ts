import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAILURES, TunnelFailure, type FailureCode } from '../../src/model/failure.ts';
import { seeded } from '../support/seeded.ts';
import type { Phase } from '../../src/model/state.ts';
import {
  beginAttempt,
  turnRequest,
  interrupt,
  logIn,
  mayTryAgain,
  nextAttempt,
  startHistory,
  takeTurn,
  type History,
  type Next,
  type AttemptOutcome,
} from '../../src/tunnel/next-attempt.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const POLICY = { minMs: 1000, maxMs: 60_000 };
const middle = () => 0.5;

/** Made once: each remembers where, which would take most of the time. */
const codes = Object.keys(FAILURES) as FailureCode[];
const failures = new Map(codes.map((code) => [code, new TunnelFailure(code, 'm')]));

const ended = (code: FailureCode, change: Partial<AttemptOutcome> = {}): AttemptOutcome => ({
  failure: failures.get(code)!,
  heldForMs: null,
  joined: null,
  byChance: false,
  worked: false,
  turnInMs: () => 0,
  canJoin: false,
  ...change,
});

/** As a history goes on after each of these outcomes, a minute one after the other. */
function follow(outcomes: readonly (AttemptOutcome | 'interrupted')[]): readonly string[] {
  let history = startHistory(POLICY, 0, middle);
  return outcomes.map((outcome, index) => {
    if (outcome === 'interrupted') {
      history = interrupt(history, POLICY, true, middle);
      return 'anew';
    }
    const next = nextAttempt(POLICY, history, outcome, (index + 1) * MINUTE, middle);
    ({ history } = next);
    return `${next.phase} ${next.delayMs}${history.ownPace ? ' own pace' : ''}`;
  });
}

const refused = ended('connect-refused');
const broken = ended('handshake-failed');
const short = ended('disconnected', { heldForMs: 9999 });
const long = ended('disconnected', { heldForMs: 10_000 });
const rejected = ended('auth-rejected', { worked: true });
const dropped = ended('handshake-failed', { byChance: true });
const alone = { endedAlone: () => true };
const withOthers = { endedAlone: () => false };
const late = { canJoin: true, turnInMs: () => 2001 };

const CASES: readonly [string, readonly (AttemptOutcome | 'interrupted')[], readonly string[]][] = [
  ['logins that fail wait ever longer', [broken, broken, broken], ['waiting 1500', 'waiting 3000', 'waiting 6000']],
  [
    'what costs the server nothing keeps its pace, and does not make the others wait longer',
    [broken, refused, refused, broken],
    ['waiting 1500', 'waiting 1000 own pace', 'waiting 1000 own pace', 'waiting 3000'],
  ],
  [
    'so does a proxy that is not there, but not one that says no',
    [
      ended('proxy-failed', { failure: new TunnelFailure('proxy-failed', 'm', { cause: refused.failure }) }),
      ended('proxy-failed'),
    ],
    ['waiting 1000 own pace', 'waiting 1500'],
  ],
  [
    'the first lost session of a series is followed at once, the next ones are not',
    [broken, short, short, short],
    ['waiting 1500', 'waiting 80 own pace', 'waiting 3000', 'waiting 6000'],
  ],
  [
    'each that lasted is followed at once, and starts a series',
    [long, long, short],
    ['waiting 80', 'waiting 80', 'waiting 80 own pace'],
  ],
  [
    'one that lasted ends the growth',
    [broken, broken, long, broken],
    ['waiting 1500', 'waiting 3000', 'waiting 80', 'waiting 1500'],
  ],
  [
    'a drop by chance costs nothing',
    [broken, dropped, dropped, broken],
    ['waiting 1500', 'waiting 80 own pace', 'waiting 80 own pace', 'waiting 3000'],
  ],
  [
    'an interruption starts a series',
    [short, broken, 'interrupted', short, broken],
    ['waiting 80 own pace', 'waiting 1500', 'anew', 'waiting 80 own pace', 'waiting 1500'],
  ],
  [
    'a rejected login of what was up is tried again soon, twice',
    [rejected, rejected, rejected],
    ['blocked 20000', 'blocked 60000', 'blocked 300000'],
  ],
  ['that of what never was is not', [ended('auth-rejected')], ['blocked 300000']],
  [
    'what only a person can mend starts a series',
    [broken, ended('key-unreadable'), broken],
    ['waiting 1500', 'blocked 60000', 'waiting 1500'],
  ],
  [
    'a person must act, though the session had lasted',
    [ended('host-key-changed', { heldForMs: 20_000 })],
    ['blocked 60000'],
  ],
  [
    'the server is not knocked at before its turn',
    [ended('connect-timeout', { turnInMs: () => 12_000 })],
    ['waiting 12000 own pace'],
  ],
  [
    'a turn that comes late is not waited for beside a connection to share',
    [ended('connect-timeout', late)],
    ['waiting 80 own pace'],
  ],
  [
    'nor where it comes soon is one shared',
    [ended('connect-timeout', { ...late, turnInMs: () => 2000 })],
    ['waiting 2000 own pace'],
  ],
  ['what fails before a turn is not shared', [ended('dns-failed', late)], ['waiting 2001 own pace']],
  [
    'a tunnel with which connections die shares none',
    [
      ended('disconnected', { heldForMs: 10, joined: alone }),
      ended('disconnected', { heldForMs: 10, joined: alone }),
      ended('connect-timeout', late),
    ],
    ['waiting 80 own pace', 'waiting 1500', 'waiting 2001 own pace'],
  ],
  [
    'one whose server died twice, with all its connections, shares again',
    [
      ended('disconnected', { heldForMs: 10, joined: withOthers }),
      ended('disconnected', { heldForMs: 10, joined: withOthers }),
      ended('connect-timeout', late),
    ],
    ['waiting 80 own pace', 'waiting 1500', 'waiting 80 own pace'],
  ],
  [
    'so does one whose path fell silent twice',
    [
      ended('keepalive-lost', { heldForMs: 10, joined: alone }),
      ended('keepalive-lost', { heldForMs: 10, joined: alone }),
      ended('connect-timeout', late),
    ],
    ['waiting 80 own pace', 'waiting 1500', 'waiting 80 own pace'],
  ],
];

for (const [what, outcomes, expected] of CASES) {
  test(`plans the next attempt: ${what}`, () => assert.deepEqual(follow(outcomes), expected));
}

test('asks a server that refuses every two seconds in an outage of more than ten minutes', () => {
  const history = startHistory(POLICY, 0, middle);
  const delays = [599_999, 600_000].map((now) => nextAttempt(POLICY, history, refused, now, middle).delayMs);
  assert.deepEqual(delays, [1000, 2000]);
});

test('takes a login for proof of the tunnel, a rejected one for none, an interruption for urgent until the next turn', () => {
  const start = startHistory(POLICY, 0, middle);
  assert.deepEqual(turnRequest(start, false), { loginHistory: 'new', urgent: false, since: 0 });
  const once = nextAttempt(POLICY, start, rejected, 5, middle).history;
  const thrice = [0, 0].reduce((history) => nextAttempt(POLICY, history, rejected, 5, middle).history, once);
  const histories = [start, once, thrice, logIn(thrice)].map((history) => turnRequest(history, true).loginHistory);
  assert.deepEqual(histories, ['proven', 'new', 'rejected', 'proven']);
  const asked = interrupt(start, POLICY, true, middle);
  assert.equal(turnRequest(asked, true).urgent, true);
  assert.deepEqual(turnRequest(takeTurn(asked, 7), true), { loginHistory: 'proven', urgent: false, since: 7 });
  assert.equal(turnRequest(interrupt(asked, POLICY, false, middle), true).urgent, false);
  assert.equal(nextAttempt(POLICY, asked, rejected, 5, middle).history.urgent, false);
});

test('ends a wait when the network changes: for the server at once, for a person or after a login seldom', () => {
  const begun = beginAttempt(startHistory(POLICY, 0, middle), 1000);
  const after = (outcome: AttemptOutcome): [History, Next['phase']] => {
    const { history, phase } = nextAttempt(POLICY, begun, outcome, 1000, middle);
    return [history, phase];
  };
  const may = ([history, phase]: [History, Phase], code: FailureCode, now: number) =>
    mayTryAgain(history, { phase, failure: { code } }, now);
  const cases: readonly [AttemptOutcome, boolean, boolean][] = [
    [refused, true, true],
    [short, true, true],
    [broken, false, true],
    [ended('key-unreadable'), false, true],
    [rejected, false, false],
  ];
  for (const [outcome, soon, later] of cases) {
    const { code } = outcome.failure;
    assert.deepEqual([may(after(outcome), code, 11_000), may(after(outcome), code, 11_001)], [soon, later], code);
  }
  // Also where the server had refused connections before it rejected the login.
  const knocking = nextAttempt(POLICY, begun, refused, 1000, middle).history;
  const { history } = nextAttempt(POLICY, knocking, rejected, 1000, middle);
  assert.equal(may([history, 'blocked'], 'auth-rejected', MINUTE), false);
  for (const [phase, expected] of [
    ['waiting-for-network', true],
    ['connecting', false],
    ['up', false],
  ] as const)
    assert.equal(may([begun, phase], 'connect-refused', MINUTE), expected, phase);
});

/** Every sequence of outcomes is another server, or another attack. */
test('makes no tight loop, no hammering with logins and no end, whatever happens', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed);
    const policy = { minMs: 100 + random() * 10_000, maxMs: 10_100 + random() * 100_000 };
    let now = 0;
    let history = startHistory(policy, now, random);
    let [quick, rejections, lastGrown] = [0, 0, 0];
    for (let attempt = 0; attempt < 200; attempt++) {
      if (random() < 0.02) {
        history = interrupt(history, policy, random() < 0.5, random);
        [quick, lastGrown] = [0, 0];
      }
      const code = codes[Math.floor(random() * codes.length)]!;
      const heldForMs = random() < 0.3 ? random() * 9999 : null;
      if (heldForMs !== null) {
        history = logIn(history);
        rejections = 0;
      }
      const turnInMs = random() * 20_000;
      const outcome = ended(code, { heldForMs, worked: random() < 0.5, turnInMs: () => turnInMs });
      const next = nextAttempt(policy, history, outcome, now, random);
      const { phase, delayMs } = next;
      ({ history } = next);
      now += delayMs;
      assert.ok(delayMs >= 30 && delayMs <= Math.max(1.1 * 300_000, policy.maxMs * 1.1), `${delayMs}`);
      assert.equal(phase === 'blocked', FAILURES[code].kind === 'needs-human');
      rejections += code === 'auth-rejected' ? 1 : 0;
      if (code === 'auth-rejected') assert.ok(delayMs >= (rejections > 2 ? 270_000 : 18_000));
      if (phase === 'blocked') [quick, lastGrown] = [0, 0];
      else if (delayMs <= 130 && heldForMs !== null) assert.equal(++quick, 1, 'one in a series');
      else if (history.ownPace) assert.ok(delayMs >= turnInMs && delayMs >= 750);
      else {
        assert.ok(delayMs >= lastGrown && delayMs >= Math.min(policy.minMs, 0.8 * policy.maxMs) - 1);
        lastGrown = delayMs;
      }
    }
  }
});

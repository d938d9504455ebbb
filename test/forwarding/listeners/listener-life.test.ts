import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ownership } from '../../../src/forwarding/listeners/owners.ts';
import {
  type ListenerActions,
  type ListenerRules,
  liveListener,
} from '../../../src/forwarding/listeners/listener-life.ts';
import type { OtherProgram, VerifyResult } from '../../../src/forwarding/verify/results.ts';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { seeded } from '../../support/seeded.ts';

const FREE: Ownership = { type: 'free' };
const COPIED: Ownership = { type: 'copied' };
const BARRED: Ownership = { type: 'barred', other: { who: 'it', day: '2026-01-31' }, copied: false };

const SEEN: OtherProgram = {
  type: 'other',
  who: 'it says hello',
  answered: true,
  alive: true,
  hostKey: null,
  own: false,
};
const RESULTS = {
  ours: { type: 'ours', whole: true },
  half: { type: 'ours', whole: false },
  part: { type: 'part', why: 'another one has the rest', other: SEEN, shared: true },
  beside: { type: 'part', why: 'another one is where it was requested', other: SEEN, shared: false },
  other: { ...SEEN, certain: true },
  dim: { ...SEEN, certain: false },
  nobody: { type: 'none' },
  dark: { type: 'unknown', why: 'forbidden' },
  slow: { type: 'unknown', why: 'too slow', passing: true },
} as const satisfies Record<string, VerifyResult>;

const FAILURE = new TunnelFailure('forward-refused', 'no');

/** The answers to what a listener does. */
const ANSWERS = {
  ...RESULTS,
  free: { ownership: FREE, watchedMs: 0 },
  copied: { ownership: COPIED, watchedMs: 0 },
  watched: { ownership: COPIED, watchedMs: 120_000 },
  barred: { ownership: BARRED, watchedMs: 0 },
  slept: undefined,
  acquired: undefined,
  granted: { port: 8080 },
  refused: { failure: FAILURE, isNew: false },
  new: { failure: FAILURE, isNew: true },
  inUse: { refusal: 'in-use', reason: 'it says hello', other: SEEN },
  deadOurs: { refusal: 'in-use', reason: 'most likely ours', other: SEEN, ours: true },
  hidden: false,
  exposed: true,
  renewed: true,
  stolen: false,
  cancelled: undefined,
} as const;
type Happening = keyof typeof ANSWERS;

const REQUESTED = 'free acquired';
const UP = `${REQUESTED} granted ours hidden`;
const PART = `${REQUESTED} granted part part free`;

/** What the step after the last of these does. `N s` is time that goes by; `suspend` and `resume` are what another tunnel wants. */
const TABLE: readonly (readonly [
  what: string,
  verify: 'auto' | 'required' | 'off',
  happenings: string,
  does: string,
])[] = [
  ['nothing is requested before it was looked up whose it is', 'auto', '', 'check-owner'],
  ['it is requested only when it is not suspended', 'auto', 'free', 'acquire'],
  ['the first answer has to come in time', 'auto', REQUESTED, 'request bounded'],
  ['what is granted is verified', 'auto', `${REQUESTED} granted`, 'verify 8080'],
  ['a miss is made sure of at once', 'auto', `${REQUESTED} granted nobody`, 'verify 8080'],
  ['one that leads here is up', 'auto', `${REQUESTED} granted ours`, 'owned, up, answered, check-exposure 8080'],
  ['one that is open to all is reported', 'auto', `${REQUESTED} granted ours exposed`, 'exposed, sleep 1050 recheck'],
  ['one that is up is verified seldom', 'auto', UP, 'sleep 1050 recheck'],
  [
    'verify: off sees no exposure',
    'off',
    `${REQUESTED} granted dark`,
    'owned, up: forbidden, answered, sleep 1050 recheck',
  ],
  [
    'required: it is not up unseen',
    'required',
    `${REQUESTED} granted dark`,
    'refused unknown, answered, sleep 70 recheck',
  ],
  ['required: it stays up unseen', 'required', `${UP} slept dark`, 'owned, up: forbidden, sleep 1050 recheck'],
  [
    'one that could not be seen by an accident is verified soon',
    'auto',
    `${UP} slept slow`,
    'owned, up: too slow, sleep 70 recheck',
  ],
  [
    'and then ever more seldom',
    'auto',
    `${UP} slept slow slept slow slept slow`,
    'owned, up: too slow, sleep 280 recheck',
  ],
  ['a miss of one that worked is doubted', 'auto', `${UP} slept other`, 'sleep 5 nothing'],
  ['and a second one', 'auto', `${UP} slept other slept other`, 'sleep 5 nothing'],
  ['a third one is believed', 'auto', `${UP} slept other slept other slept other`, 'other-seen, check-owner'],
  ['then it is cancelled', 'auto', `${UP} slept other slept other slept other free`, 'cancel 8080'],
  [
    'then that is reported',
    'auto',
    `${UP} slept other slept other slept other free cancelled`,
    'refused in-use elsewhere, release, sleep 2 nothing',
  ],
  [
    'one whose stranger was not heard is kept',
    'auto',
    `${REQUESTED} granted dim dim free`,
    'refused in-use elsewhere, answered, sleep 2.333 recheck',
  ],
  [
    'one that leads to another device is cancelled without a word more',
    'auto',
    `${REQUESTED} granted part part barred cancelled`,
    'answered, release, sleep 2 nothing',
  ],
  [
    'one beside which another device has the address is kept, and that is not remembered',
    'auto',
    `${REQUESTED} granted beside beside`,
    'refused in-use elsewhere, answered, sleep 2.333 recheck',
  ],
  ['of one that is ours in part the rest is requested when it came free', 'auto', `${PART} slept half`, 'renew 8080'],
  ['and verified', 'auto', `${PART} slept half renewed`, 'verify 8080'],
  ['and not requested again at once', 'auto', `${PART} slept half renewed half`, 'owned, up, sleep 1050 recheck'],
  ['or it is lost', 'auto', `${PART} slept half stolen`, 'release, sleep 2 nothing'],
  [
    'each loss in a row doubles the pause',
    'auto',
    `${`${REQUESTED} granted other other free cancelled slept `.repeat(4)}${REQUESTED} granted other other free cancelled`,
    'refused in-use elsewhere, answered, release, sleep 32 nothing',
  ],
  ['why it is refused is found out', 'auto', `${REQUESTED} refused`, 'diagnose'],
  [
    'and reported',
    'auto',
    `${REQUESTED} refused inUse`,
    'other-seen, refused in-use, answered, release, sleep 1.25 nothing',
  ],
  ['the second answer may take its time', 'auto', `${REQUESTED} refused inUse slept ${REQUESTED}`, 'request'],
  [
    'the reason is remembered',
    'auto',
    `${REQUESTED} refused inUse 120s slept ${REQUESTED} refused`,
    'other-seen, refused in-use, answered, release, sleep 1.25 nothing',
  ],
  ['but not for ever where it matters', 'auto', `${REQUESTED} new inUse 60s slept ${REQUESTED} new`, 'diagnose'],
  [
    'and then twice as long',
    'auto',
    `${REQUESTED} new inUse 60s slept ${REQUESTED} new inUse 119s slept ${REQUESTED} new`,
    'other-seen, refused in-use, answered, release, sleep 1.25 nothing',
  ],
  [
    'after ten minutes it is requested seldom',
    'auto',
    `${REQUESTED} refused inUse 600s slept ${REQUESTED} refused`,
    'other-seen, refused in-use, answered, release, sleep 15 nothing',
  ],
  [
    'one that was lost after a long time is requested as a new one',
    'auto',
    `${UP} 7200s slept other slept other slept other free cancelled slept ${REQUESTED} refused`,
    'diagnose',
  ],
  [
    'how long our own dead connection had it is counted',
    'auto',
    `${REQUESTED} refused deadOurs 2s slept ${REQUESTED} refused 1s slept ${REQUESTED} granted`,
    'evicted 3, verify 8080',
  ],
  [
    'but not where another one took it meanwhile',
    'auto',
    `${REQUESTED} new deadOurs 60s slept ${REQUESTED} new inUse slept ${REQUESTED} granted`,
    'verify 8080',
  ],
  [
    'a suspended one counts as answered',
    'auto',
    'suspend free acquired refused inUse',
    'other-seen, refused in-use, answered, release, answered, check-owner',
  ],
  ['one that is up is cancelled when it is suspended', 'auto', `${UP} suspend slept`, 'suspended, cancel 8080'],
  ['and waits for its turn', 'auto', `${UP} suspend slept cancelled free`, 'acquire'],
  [
    'one that is resumed meanwhile is requested a moment later',
    'auto',
    `${UP} suspend slept resume cancelled`,
    'release, sleep 2 nothing',
  ],
  ["another device's is not requested", 'auto', 'barred', 'refused in-use elsewhere, answered, sleep 86400 taken'],
  ['until a person has said so', 'auto', 'barred slept free', 'acquire'],
  ['and is reported once', 'auto', 'barred slept barred', 'sleep 86400 taken'],
  ['that of a machine that may live is looked at', 'auto', 'copied', 'refused unknown, answered, identify'],
  ['and whoever is seen is remembered', 'auto', 'copied other', 'other-seen, check-owner watched'],
  ['and looked at again', 'auto', 'copied nobody copied', 'sleep 30 taken'],
  ['and taken when nobody was seen for long', 'auto', 'copied nobody watched', 'owned, check-owner'],
  [
    'or never, where that was another device',
    'auto',
    'copied other barred',
    'refused in-use elsewhere, answered, sleep 86400 taken',
  ],
];

for (const [what, verify, happenings, does] of TABLE)
  test(`does as the table says: ${what}`, async () =>
    assert.equal(await live(verify, happenings.split(' ').filter(Boolean)), does));

/** What this listener does after the last happening, with the reports before it; durations in seconds. */
async function live(verify: ListenerRules['verify'], happenings: readonly string[]): Promise<string> {
  const left = happenings.slice();
  const moment = { now: 0, suspended: happenings[0] === 'suspend' };
  let reports: string[] = [];
  let last = '';
  const happensAt = (action: string): Happening => {
    for (;;) {
      const next = left.shift();
      const time = /^(\d+)s$/.exec(next ?? '');
      if (next === undefined) {
        last = [...reports, action].join(', ');
        throw OVER;
      }
      if (time !== null) moment.now += Number(time[1]) * 1000;
      else if (next === 'suspend' || next === 'resume') moment.suspended = next === 'suspend';
      else {
        reports = [];
        return next as Happening;
      }
    }
  };
  const sleepText = (ms: number, wakes: string) => `sleep ${Math.round(ms) / 1000} ${wakes}`;
  const actions = actionsAt(
    (action, ...details) =>
      happensAt(action === 'sleep' ? sleepText(...(details as [number, string])) : [action, ...details].join(' ')),
    (report) => reports.push(report),
    { now: () => moment.now, random: () => 0.5, isSuspended: () => moment.suspended },
  );
  await assert.rejects(liveListener({ listen: LISTEN, verify, tunnel: 'test' }, actions), OVER);
  return last;
}

const LISTEN = { type: 'tcp', host: 'localhost', port: 8080 } as const;
const OVER = new Error('the test is over');

/** `happens` names the answer to each action, and `report` gets what is reported. */
function actionsAt(
  happens: (action: string, ...details: (number | string)[]) => Happening,
  report: (text: string) => void,
  moment: Pick<ListenerActions, 'now' | 'random' | 'isSuspended'>,
): ListenerActions {
  const answer = (...action: Parameters<typeof happens>) => ANSWERS[happens(...action)] as never;
  const later = async (...action: Parameters<typeof happens>): Promise<never> => answer(...action);
  return {
    ...moment,
    checkOwner: (watched) => answer('check-owner', ...(watched ? ['watched'] : [])),
    sleep: (ms, wakes) => later('sleep', ms, wakes),
    acquire: () => later('acquire'),
    request: (bounded) => later('request', ...(bounded ? ['bounded'] : [])),
    diagnose: () => later('diagnose'),
    identify: () => later('identify'),
    verify: (port) => later('verify', port),
    isExposed: (port) => later('check-exposure', port),
    renew: (port) => later('renew', port),
    cancel: (port) => later('cancel', port),
    release: () => report('release'),
    otherSeen: () => report('other-seen'),
    owned: () => report('owned'),
    answered: () => report('answered'),
    up: ({ unverified }) => report(unverified === null ? 'up' : `up: ${unverified}`),
    exposed: () => report('exposed'),
    suspended: () => report('suspended'),
    refused: ({ refusal, elsewhere }) => report(`refused ${refusal}${elsewhere ? ' elsewhere' : ''}`),
    evicted: (seconds) => report(`evicted ${seconds}`),
  };
}

test('requests a listener again and again, releases it once, and cancels only one that another answers at', async () => {
  const random = seeded(1);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const CHANCES: Readonly<Record<string, readonly Happening[]>> = {
    'check-owner': ['free', 'free', 'free', 'copied', 'watched', 'barred'],
    sleep: ['slept'],
    acquire: ['acquired'],
    request: ['granted', 'granted', 'refused', 'new'],
    diagnose: ['inUse', 'deadOurs'],
    identify: Object.keys(RESULTS) as Happening[],
    verify: Object.keys(RESULTS) as Happening[],
    'check-exposure': ['hidden', 'exposed'],
    renew: ['renewed', 'stolen'],
    cancel: ['cancelled'],
  };
  for (let life = 0; life < 200; life += 1) {
    const moment = { now: 0, suspended: false };
    let [count, asked, acquired, barred] = [0, 0, 0, false];
    let seen: VerifyResult = RESULTS.ours;
    const happens = (action: string, ms: number | string = 0): Happening => {
      if (++count > 500) throw OVER;
      if (action === 'acquire') acquired += 1;
      assert.ok(acquired === 0 || acquired === 1, `${acquired} acquired`);
      if (action === 'request') asked += 1;
      if (action === 'sleep') {
        assert.ok(Number(ms) >= 1000 && Number(ms) <= 86_400_000, `${ms} ms`);
        moment.now += Number(ms);
      }
      if (action === 'cancel' && !moment.suspended)
        assert.ok(
          seen.type === 'other' ? seen.certain || barred : seen.type === 'part' && seen.shared && barred,
          seen.type,
        );
      const happening = pick(CHANCES[action]!);
      if (action === 'identify' || action === 'verify') seen = RESULTS[happening as keyof typeof RESULTS];
      if (action === 'check-owner') barred = happening === 'barred';
      moment.suspended = random() < 0.1;
      return happening;
    };
    const report = (text: string) => {
      if (text === 'release') acquired -= 1;
    };
    const actions = actionsAt(happens, report, { now: () => moment.now, random, isSuspended: () => moment.suspended });
    const rules: ListenerRules = { listen: LISTEN, verify: pick(['auto', 'required']), tunnel: 'test' };
    await assert.rejects(liveListener(rules, actions), OVER);
    assert.ok(asked > 5, `asked ${asked} times`);
  }
});

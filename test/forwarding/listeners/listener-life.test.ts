import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ownership } from '../../../src/forwarding/listeners/owners.ts';
import {
  type Command,
  type ListenerEvent,
  type ListenerRules,
  type Report,
  startLife,
  step,
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

const EVENTS = {
  free: { type: 'owner-checked', ownership: FREE, watchedMs: 0 },
  copied: { type: 'owner-checked', ownership: COPIED, watchedMs: 0 },
  watched: { type: 'owner-checked', ownership: COPIED, watchedMs: 120_000 },
  barred: { type: 'owner-checked', ownership: BARRED, watchedMs: 0 },
  slept: { type: 'slept' },
  acquired: { type: 'acquired' },
  granted: { type: 'granted', port: 8080 },
  refused: { type: 'refused', failure: new TunnelFailure('forward-refused', 'no'), isNew: false },
  new: { type: 'refused', failure: new TunnelFailure('forward-refused', 'no'), isNew: true },
  inUse: { type: 'diagnosed', reason: { refusal: 'in-use', reason: 'it says hello', other: SEEN } },
  deadOurs: { type: 'diagnosed', reason: { refusal: 'in-use', reason: 'most likely ours', other: SEEN, ours: true } },
  hidden: { type: 'exposure', exposed: false },
  exposed: { type: 'exposure', exposed: true },
  renewed: { type: 'renewed', granted: true },
  stolen: { type: 'renewed', granted: false },
  cancelled: { type: 'cancelled' },
} as const satisfies Record<string, ListenerEvent>;

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
  test(`does as the table says: ${what}`, () =>
    assert.equal(live(verify, happenings.split(' ').filter(Boolean)), does));

/** The last step of this life: its reports and its command, durations in seconds. */
function live(verify: ListenerRules['verify'], happenings: readonly string[]): string {
  const moment = { now: 0, random: () => 0.5, suspended: happenings[0] === 'suspend' };
  const rules: ListenerRules = { listen: { type: 'tcp', host: 'localhost', port: 8080 }, verify, tunnel: 'test' };
  let last = startLife(moment);
  for (const happening of happenings) {
    const time = /^(\d+)s$/.exec(happening);
    if (time !== null) moment.now += Number(time[1]) * 1000;
    else if (happening === 'suspend' || happening === 'resume') moment.suspended = happening === 'suspend';
    else last = step(last[0], eventOf(happening), rules, moment);
  }
  const [, reports, command] = last;
  return [...reports.map(reportText), commandText(command)].join(', ');
}

function eventOf(happening: string): ListenerEvent {
  if (happening in EVENTS) return EVENTS[happening as keyof typeof EVENTS];
  return { type: 'verified', result: RESULTS[happening as keyof typeof RESULTS] };
}

function reportText(report: Report): string {
  if (report.type === 'up') return report.unverified === null ? 'up' : `up: ${report.unverified}`;
  if (report.type === 'refused') return `refused ${report.refusal}${report.elsewhere ? ' elsewhere' : ''}`;
  return report.type === 'evicted' ? `evicted ${report.seconds}` : report.type;
}

function commandText(command: Command): string {
  if (command.type === 'sleep') return `sleep ${Math.round(command.ms) / 1000} ${command.wakes}`;
  if (command.type === 'request') return command.bounded ? 'request bounded' : 'request';
  if (command.type === 'check-owner') return command.watched ? 'check-owner watched' : 'check-owner';
  return 'port' in command ? `${command.type} ${command.port}` : command.type;
}

test('requests a listener again and again, releases it once, and cancels only one that another answers at', () => {
  const random = seeded(1);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const happens = (command: Command): ListenerEvent => {
    switch (command.type) {
      case 'check-owner':
        return {
          type: 'owner-checked',
          ownership: pick([FREE, FREE, FREE, COPIED, BARRED]),
          watchedMs: pick([0, 120_000]),
        };
      case 'sleep':
        return EVENTS.slept;
      case 'acquire':
        return EVENTS.acquired;
      case 'request':
        return pick([EVENTS.granted, EVENTS.granted, EVENTS.refused, EVENTS.new]);
      case 'diagnose':
        return pick([EVENTS.inUse, EVENTS.deadOurs]);
      case 'identify':
      case 'verify':
        return { type: 'verified', result: pick(Object.values(RESULTS)) };
      case 'check-exposure':
        return pick([EVENTS.hidden, EVENTS.exposed]);
      case 'renew':
        return pick([EVENTS.renewed, EVENTS.stolen]);
      case 'cancel':
        return EVENTS.cancelled;
    }
  };
  for (let life = 0; life < 200; life += 1) {
    const moment = { now: 0, random, suspended: false };
    const listen = { type: 'tcp', host: 'localhost', port: 8080 } as const;
    const rules: ListenerRules = { listen, verify: pick(['auto', 'required']), tunnel: 'test' };
    let [state, reports, command] = startLife(moment);
    let [asked, acquired, barred] = [0, 0, false];
    let seen: VerifyResult = RESULTS.ours;
    for (let count = 0; count < 500; count += 1) {
      for (const { type } of reports) if (type === 'release') acquired -= 1;
      if (command.type === 'acquire') acquired += 1;
      assert.ok(acquired === 0 || acquired === 1, `${acquired} acquired`);
      if (command.type === 'request') asked += 1;
      if (command.type === 'sleep') {
        assert.ok(command.ms >= 1000 && command.ms <= 86_400_000, `${command.ms} ms`);
        moment.now += command.ms;
      }
      if (command.type === 'cancel' && !moment.suspended)
        assert.ok(
          seen.type === 'other' ? seen.certain || barred : seen.type === 'part' && seen.shared && barred,
          seen.type,
        );
      const event = happens(command);
      if (event.type === 'verified') seen = event.result;
      if (event.type === 'owner-checked') barred = event.ownership.type === 'barred';
      moment.suspended = random() < 0.1;
      [state, reports, command] = step(state, event, rules, moment);
    }
    assert.ok(asked > 5, `asked ${asked} times`);
  }
});

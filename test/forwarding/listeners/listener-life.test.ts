import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Admission } from '../../../src/forwarding/listeners/holdings.ts';
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

const FREE: Admission = { type: 'free' };
const COPIED: Admission = { type: 'copied' };
const BARRED: Admission = { type: 'barred', other: { who: 'it', day: '2026-01-31' }, copied: false };

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
  beside: { type: 'part', why: 'another one is where it was asked for', other: SEEN, shared: false },
  other: { ...SEEN, certain: true },
  dim: { ...SEEN, certain: false },
  nobody: { type: 'none' },
  dark: { type: 'unknown', why: 'forbidden' },
  slow: { type: 'unknown', why: 'too slow', passing: true },
} as const satisfies Record<string, VerifyResult>;

const EVENTS = {
  free: { type: 'recalled', admission: FREE, watchedMs: 0 },
  copied: { type: 'recalled', admission: COPIED, watchedMs: 0 },
  watched: { type: 'recalled', admission: COPIED, watchedMs: 120_000 },
  barred: { type: 'recalled', admission: BARRED, watchedMs: 0 },
  slept: { type: 'slept' },
  entered: { type: 'entered' },
  granted: { type: 'granted', port: 8080 },
  refused: { type: 'refused', failure: new TunnelFailure('forward-refused', 'no'), isNew: false },
  new: { type: 'refused', failure: new TunnelFailure('forward-refused', 'no'), isNew: true },
  inUse: { type: 'explained', reason: { refusal: 'in-use', reason: 'it says hello', other: SEEN } },
  deadOurs: { type: 'explained', reason: { refusal: 'in-use', reason: 'most likely ours', other: SEEN, ours: true } },
  hidden: { type: 'exposure', exposed: false },
  exposed: { type: 'exposure', exposed: true },
  renewed: { type: 'renewed', granted: true },
  stolen: { type: 'renewed', granted: false },
  returned: { type: 'returned' },
} as const satisfies Record<string, ListenerEvent>;

const ASKED = 'free entered';
const UP = `${ASKED} granted ours hidden`;
const PART = `${ASKED} granted part part free`;

/** What the step after the last of these does. `N s` is time that goes by; `suspend` and `resume` are what another tunnel wants. */
const TABLE: readonly (readonly [
  what: string,
  verify: 'auto' | 'required' | 'off',
  happenings: string,
  does: string,
])[] = [
  ['nothing is asked for before it was looked up whose it is', 'auto', '', 'recall'],
  ['it is asked for only in its turn', 'auto', 'free', 'enter'],
  ['the first answer has to come in time', 'auto', ASKED, 'ask bounded'],
  ['what is granted is verified', 'auto', `${ASKED} granted`, 'verify 8080'],
  ['a miss is made sure of at once', 'auto', `${ASKED} granted nobody`, 'verify 8080'],
  ['one that leads here is up', 'auto', `${ASKED} granted ours`, 'hold, up, answered, expose 8080'],
  ['one that is open to all is reported', 'auto', `${ASKED} granted ours exposed`, 'exposed, sleep 1050 recheck'],
  ['one that is up is verified seldom', 'auto', UP, 'sleep 1050 recheck'],
  ['verify: off sees no exposure', 'off', `${ASKED} granted dark`, 'hold, up: forbidden, answered, sleep 1050 recheck'],
  ['required: it is not up unseen', 'required', `${ASKED} granted dark`, 'refused unknown, answered, sleep 70 recheck'],
  ['required: it stays up unseen', 'required', `${UP} slept dark`, 'hold, up: forbidden, sleep 1050 recheck'],
  [
    'one that could not be seen by an accident is verified soon',
    'auto',
    `${UP} slept slow`,
    'hold, up: too slow, sleep 70 recheck',
  ],
  [
    'and then ever more seldom',
    'auto',
    `${UP} slept slow slept slow slept slow`,
    'hold, up: too slow, sleep 280 recheck',
  ],
  ['a miss of one that worked is doubted', 'auto', `${UP} slept other`, 'sleep 5 nothing'],
  ['and a second one', 'auto', `${UP} slept other slept other`, 'sleep 5 nothing'],
  ['a third one is believed', 'auto', `${UP} slept other slept other slept other`, 'sighted, recall'],
  ['then it is given back', 'auto', `${UP} slept other slept other slept other free`, 'return 8080'],
  [
    'then that is reported',
    'auto',
    `${UP} slept other slept other slept other free returned`,
    'refused in-use elsewhere, leave, sleep 2 nothing',
  ],
  [
    'one whose stranger was not heard is kept',
    'auto',
    `${ASKED} granted dim dim free`,
    'refused in-use elsewhere, answered, sleep 2.333 recheck',
  ],
  [
    'one that leads to another device is given back without a word more',
    'auto',
    `${ASKED} granted part part barred returned`,
    'answered, leave, sleep 2 nothing',
  ],
  [
    'one beside which another device has the address is kept, and that is not remembered',
    'auto',
    `${ASKED} granted beside beside`,
    'refused in-use elsewhere, answered, sleep 2.333 recheck',
  ],
  ['of one that is ours in part the rest is asked for when it came free', 'auto', `${PART} slept half`, 'renew 8080'],
  ['and verified', 'auto', `${PART} slept half renewed`, 'verify 8080'],
  ['and not asked for again at once', 'auto', `${PART} slept half renewed half`, 'hold, up, sleep 1050 recheck'],
  ['or it is lost', 'auto', `${PART} slept half stolen`, 'leave, sleep 2 nothing'],
  [
    'each loss in a row doubles the pause',
    'auto',
    `${`${ASKED} granted other other free returned slept `.repeat(4)}${ASKED} granted other other free returned`,
    'refused in-use elsewhere, answered, leave, sleep 32 nothing',
  ],
  ['why it is refused is found out', 'auto', `${ASKED} refused`, 'explain'],
  ['and reported', 'auto', `${ASKED} refused inUse`, 'sighted, refused in-use, answered, leave, sleep 1.25 nothing'],
  ['the second answer may take its time', 'auto', `${ASKED} refused inUse slept ${ASKED}`, 'ask'],
  [
    'the reason is remembered',
    'auto',
    `${ASKED} refused inUse 120s slept ${ASKED} refused`,
    'sighted, refused in-use, answered, leave, sleep 1.25 nothing',
  ],
  ['but not for ever where it matters', 'auto', `${ASKED} new inUse 60s slept ${ASKED} new`, 'explain'],
  [
    'and then twice as long',
    'auto',
    `${ASKED} new inUse 60s slept ${ASKED} new inUse 119s slept ${ASKED} new`,
    'sighted, refused in-use, answered, leave, sleep 1.25 nothing',
  ],
  [
    'after ten minutes it is asked for seldom',
    'auto',
    `${ASKED} refused inUse 600s slept ${ASKED} refused`,
    'sighted, refused in-use, answered, leave, sleep 15 nothing',
  ],
  [
    'one that was lost after a long time is asked for as a new one',
    'auto',
    `${UP} 7200s slept other slept other slept other free returned slept ${ASKED} refused`,
    'explain',
  ],
  [
    'how long our own dead connection had it is counted',
    'auto',
    `${ASKED} refused deadOurs 2s slept ${ASKED} refused 1s slept ${ASKED} granted`,
    'evicted 3, verify 8080',
  ],
  [
    'but not where another one took it meanwhile',
    'auto',
    `${ASKED} new deadOurs 60s slept ${ASKED} new inUse slept ${ASKED} granted`,
    'verify 8080',
  ],
  [
    'a suspended one counts as answered',
    'auto',
    'suspend free entered refused inUse',
    'sighted, refused in-use, answered, leave, answered, recall',
  ],
  ['one that is up is given back when it is suspended', 'auto', `${UP} suspend slept`, 'suspended, return 8080'],
  ['and waits for its turn', 'auto', `${UP} suspend slept returned free`, 'enter'],
  [
    'one that is resumed meanwhile is asked for a moment later',
    'auto',
    `${UP} suspend slept resume returned`,
    'leave, sleep 2 nothing',
  ],
  ["another device's is not asked for", 'auto', 'barred', 'refused in-use elsewhere, answered, sleep 86400 taken'],
  ['until a person has said so', 'auto', 'barred slept free', 'enter'],
  ['and is reported once', 'auto', 'barred slept barred', 'sleep 86400 taken'],
  ['that of a machine that may live is looked at', 'auto', 'copied', 'refused unknown, answered, identify'],
  ['and whoever is seen is remembered', 'auto', 'copied other', 'sighted, recall watched'],
  ['and looked at again', 'auto', 'copied nobody copied', 'sleep 30 taken'],
  ['and taken when nobody was seen for long', 'auto', 'copied nobody watched', 'hold, recall'],
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
  if (command.type === 'ask') return command.bounded ? 'ask bounded' : 'ask';
  if (command.type === 'recall') return command.watched ? 'recall watched' : 'recall';
  return 'port' in command ? `${command.type} ${command.port}` : command.type;
}

test('asks for a listener again and again, ends its turn once, and gives back only one that another answers at', () => {
  const random = seeded(1);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const happens = (command: Command): ListenerEvent => {
    switch (command.type) {
      case 'recall':
        return { type: 'recalled', admission: pick([FREE, FREE, FREE, COPIED, BARRED]), watchedMs: pick([0, 120_000]) };
      case 'sleep':
        return EVENTS.slept;
      case 'enter':
        return EVENTS.entered;
      case 'ask':
        return pick([EVENTS.granted, EVENTS.granted, EVENTS.refused, EVENTS.new]);
      case 'explain':
        return pick([EVENTS.inUse, EVENTS.deadOurs]);
      case 'identify':
      case 'verify':
        return { type: 'verified', result: pick(Object.values(RESULTS)) };
      case 'expose':
        return pick([EVENTS.hidden, EVENTS.exposed]);
      case 'renew':
        return pick([EVENTS.renewed, EVENTS.stolen]);
      case 'return':
        return EVENTS.returned;
    }
  };
  for (let life = 0; life < 200; life += 1) {
    const moment = { now: 0, random, suspended: false };
    const listen = { type: 'tcp', host: 'localhost', port: 8080 } as const;
    const rules: ListenerRules = { listen, verify: pick(['auto', 'required']), tunnel: 'test' };
    let [state, reports, command] = startLife(moment);
    let [asked, turns, barred] = [0, 0, false];
    let seen: VerifyResult = RESULTS.ours;
    for (let count = 0; count < 500; count += 1) {
      for (const { type } of reports) if (type === 'leave') turns -= 1;
      if (command.type === 'enter') turns += 1;
      assert.ok(turns === 0 || turns === 1, `${turns} turns`);
      if (command.type === 'ask') asked += 1;
      if (command.type === 'sleep') {
        assert.ok(command.ms >= 1000 && command.ms <= 86_400_000, `${command.ms} ms`);
        moment.now += command.ms;
      }
      if (command.type === 'return' && !moment.suspended)
        assert.ok(
          seen.type === 'other' ? seen.certain || barred : seen.type === 'part' && seen.shared && barred,
          seen.type,
        );
      const event = happens(command);
      if (event.type === 'verified') seen = event.result;
      if (event.type === 'recalled') barred = event.admission.type === 'barred';
      moment.suspended = random() < 0.1;
      [state, reports, command] = step(state, event, rules, moment);
    }
    assert.ok(asked > 5, `asked ${asked} times`);
  }
});

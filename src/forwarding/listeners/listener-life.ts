import type { TunnelFailure } from '../../model/failure.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { Refusal } from '../../model/state.ts';
import { isMiss, judge, verifyAgainAfter, type ListenerStatus, type Up } from '../verify/judge.ts';
import type { OtherProgram, VerifyResult } from '../verify/results.ts';
import type { Ownership } from './owners.ts';
import { refusalFailure, type RefusalReason } from './refusal-reason.ts';
import { listenRetryDelay } from './retry-delay.ts';
import { whyNotRequested } from './why-not-requested.ts';

/**
 * The life of one listener of the server during one connection. Its words, here and in the files beside it:
 *
 * | word | meaning |
 * |---|---|
 * | requested, granted, refused, cancelled | what SSH calls it: `tcpip-forward` and `cancel-tcpip-forward` (RFC 4254 section 7.1) |
 * | owner | whose the listener is, as remembered across restarts: owners.ts |
 * | acquired, released, suspended | what tunnels of this process agree on in a handover: suspendable-listeners.ts |
 * | verified | whether visitors come out here: ../verify |
 *
 * ```
 *                   free             acquired              granted
 *  checking-owner ───────▶ acquiring ───────▶ requesting ─────────▶ verifying ⇄ doubting  (misses of one that worked)
 *    │   ▲                                      │                     │   ▲
 *    ▼   │                              refused │              result │   │ again, from time to time
 *  waiting, identifying                         ▼                     ▼   │
 *  (another device's, or                   diagnosing       judging, checking-exposure, serving, renewing
 *   of a copied machine)                        │                     │
 *                                               │                     │ leads elsewhere, or is suspended
 *  checking-owner ◀───────── pausing ◀──────────┴──── cancelling ◀────┘
 * ```
 * Each state waits for one event, which the command of the step into it produces. A granted listener is cancelled only when another
 * program was seen at each of its addresses, when it is another device's, or when it is suspended for a replacement of this tunnel.
 */
type State =
  /** `reported` is the ownership that was reported last, `identified` says that the listener was just identified. */
  | { readonly type: 'checking-owner'; readonly reported: Ownership['type']; readonly identified: boolean }
  /** Another machine had it and may still run: the program that answers there is identified. */
  | { readonly type: 'identifying'; readonly reported: Ownership['type'] }
  /** It may not be requested now. */
  | { readonly type: 'waiting'; readonly reported: Ownership['type'] }
  /** It waits while the listener is suspended. */
  | { readonly type: 'acquiring' }
  | { readonly type: 'requesting' }
  | { readonly type: 'diagnosing'; readonly failure: TunnelFailure; readonly diagnosis: Omit<Diagnosis, 'reason'> }
  | { readonly type: 'pausing' }
  | ({ readonly type: 'verifying' | 'doubting' } & Verifying)
  | { readonly type: 'judging'; readonly grant: Grant; readonly result: VerifyResult }
  | { readonly type: 'checking-exposure' | 'serving' | 'renewing'; readonly grant: Judged }
  /** `after` is reported when the server has answered. */
  | { readonly type: 'cancelling'; readonly grant: Grant; readonly after: readonly Report[] };

interface Grant {
  /** The port that the server chose, where it chose one. */
  readonly port: number;
  /** Its status after the last verification; null before the first. */
  readonly last: ListenerStatus | null;
  /** How many times in a row it had this status before. */
  readonly repeated: number;
}

type Judged = Grant & { readonly last: ListenerStatus };

interface Verifying {
  readonly grant: Grant;
  /** Number of this verification in a row of misses, from 1. */
  readonly times: number;
  /** It was just cancelled and requested again. */
  readonly renewed: boolean;
}

/** Why the server refuses it, as was found out last. */
interface Diagnosis {
  readonly reason: RefusalReason;
  /** When the reason may be looked for again. */
  readonly againAt: number;
  /** Milliseconds from then to the next time. */
  readonly pauseMs: number;
}

export interface Life {
  readonly state: State;
  /** Since when it is requested without being granted. */
  readonly since: number;
  /** How many times in a row it was granted and led elsewhere. */
  readonly losses: number;
  /** Whether the server has answered a request for it on this connection: later answers are not bounded. */
  readonly heard: boolean;
  readonly diagnosis: Diagnosis | null;
  /** Since when most likely a dead connection of ours has it, or null. */
  readonly staleSince: number | null;
}

export type ListenerEvent =
  /** `watchedMs`: for how long it has been watched, where the command wanted that. */
  | { readonly type: 'owner-checked'; readonly ownership: Ownership; readonly watchedMs: number }
  | { readonly type: 'slept' }
  | { readonly type: 'acquired' }
  | { readonly type: 'granted'; readonly port: number }
  /** `isNew`: this machine never had it, so that it matters which program has it. */
  | { readonly type: 'refused'; readonly failure: TunnelFailure; readonly isNew: boolean }
  | { readonly type: 'diagnosed'; readonly reason: RefusalReason }
  | { readonly type: 'verified'; readonly result: VerifyResult }
  | { readonly type: 'exposure'; readonly exposed: boolean }
  | { readonly type: 'renewed'; readonly granted: boolean }
  | { readonly type: 'cancelled' };

/** What is to be executed; its result is the next event. */
export type Command =
  | { readonly type: 'check-owner'; readonly watched: boolean }
  | { readonly type: 'sleep'; readonly ms: number; readonly wakes: 'taken' | 'recheck' | 'nothing' }
  | { readonly type: 'acquire' }
  | { readonly type: 'request'; readonly bounded: boolean }
  | { readonly type: 'diagnose' }
  | { readonly type: 'identify' }
  | { readonly type: 'verify' | 'check-exposure' | 'renew' | 'cancel'; readonly port: number };

/** What is to be reported before the command is executed. */
export type Report =
  /** The listener is released, for a tunnel that waits for it. */
  | { readonly type: 'release' }
  /** To be remembered of its owner: another program was seen there, or this machine has it. */
  | { readonly type: 'other-seen'; readonly other: OtherProgram }
  | { readonly type: 'owned' }
  /** There is a first answer: granted, refused or suspended. */
  | { readonly type: 'answered' }
  | ({ readonly type: 'up' } & Pick<Up, 'unverified' | 'misplaced'>)
  | { readonly type: 'exposed' }
  | { readonly type: 'suspended' }
  | ({ readonly type: 'refused' } & Refused)
  /** It came free after so many seconds in which a dead connection of ours most likely had it. */
  | { readonly type: 'evicted'; readonly seconds: number };

export interface Refused {
  readonly refusal: Refusal;
  readonly failure: TunnelFailure;
  /** Visitors do not come out here. */
  readonly elsewhere: boolean;
}

export interface ListenerRules {
  readonly listen: Endpoint;
  readonly verify: TunnelSpec['verify'];
  /** The tunnel's name. */
  readonly tunnel: string;
}

/** What a step needs beside the event. */
export interface Moment {
  readonly now: number;
  readonly random: () => number;
  readonly suspended: boolean;
}

/** The reports are made in this order, then the command is executed. */
export type Step = readonly [Life, readonly Report[], Command];

export function startLife(moment: Moment): Step {
  const life = { since: moment.now, losses: 0, heard: false, diagnosis: null, staleSince: null };
  return begin({ ...life, state: { type: 'pausing' } }, [], moment);
}

export function step(life: Life, event: ListenerEvent, rules: ListenerRules, moment: Moment): Step {
  const { state } = life;
  if ('grant' in state) return stepGranted(life, state, event, rules, moment);
  switch (state.type) {
    case 'checking-owner':
      return ownerChecked(life, state, expect(event, 'owner-checked'), rules);
    case 'identifying': {
      const { result } = expect(event, 'verified');
      const seen: readonly Report[] = result.type === 'other' ? [{ type: 'other-seen', other: result }] : [];
      const next: State = { type: 'checking-owner', reported: state.reported, identified: true };
      return [{ ...life, state: next }, seen, { type: 'check-owner', watched: true }];
    }
    case 'waiting':
      return checkOwner(life, state.reported);
    case 'acquiring':
      return [{ ...life, state: { type: 'requesting' } }, [], { type: 'request', bounded: !life.heard }];
    case 'requesting':
      return event.type === 'granted' ? granted(life, event, moment) : refused(life, expect(event, 'refused'), moment);
    case 'diagnosing':
      return diagnosed(life, state.failure, { ...state.diagnosis, ...expect(event, 'diagnosed') }, moment);
    case 'pausing':
      return begin(life, [], moment);
  }
}

/** While the server listens for us. */
function stepGranted(
  life: Life,
  state: Extract<State, { grant: unknown }>,
  event: ListenerEvent,
  rules: ListenerRules,
  moment: Moment,
): Step {
  switch (state.type) {
    case 'verifying':
      return verified(life, state, expect(event, 'verified').result, rules, moment);
    case 'doubting':
      return verify(life, state);
    case 'judging':
      // It is another device's, and is cancelled even where part of it leads here.
      return expect(event, 'owner-checked').ownership.type === 'barred'
        ? cancel(life, state.grant, [])
        : applyResult(life, state.grant, state.result, rules, moment);
    case 'checking-exposure':
      return serve(life, state.grant, expect(event, 'exposure').exposed ? [{ type: 'exposed' }] : [], moment);
    case 'serving':
      return moment.suspended ? suspend(life, state.grant, []) : verify(life, { grant: state.grant, times: 1 });
    case 'renewing':
      return expect(event, 'renewed').granted
        ? verify(life, { grant: state.grant, times: 1, renewed: true })
        : cancelled(life, state.grant, [], moment);
    case 'cancelling':
      return cancelled(life, state.grant, state.after, moment);
  }
}

function expect<T extends ListenerEvent['type']>(event: ListenerEvent, type: T): Extract<ListenerEvent, { type: T }> {
  if (event.type !== type) throw new Error(`a listener that waits for ${type} got ${event.type}`);
  return event as Extract<ListenerEvent, { type: T }>;
}

/** A suspended listener counts as answered. */
function begin(life: Life, reports: readonly Report[], { suspended }: Moment): Step {
  return checkOwner(life, 'free', suspended ? [...reports, { type: 'answered' }] : reports);
}

function checkOwner(life: Life, reported: Ownership['type'], reports: readonly Report[] = []): Step {
  const state: State = { type: 'checking-owner', reported, identified: false };
  return [{ ...life, state }, reports, { type: 'check-owner', watched: false }];
}

/**
 * Requests the listener at once, with two exceptions: another device's only after a person's decision; and where this machine may be a
 * copy of the one that had it, only after it was unused for UNUSED_FOR_MS.
 */
function ownerChecked(
  life: Life,
  { reported, identified }: Extract<State, { type: 'checking-owner' }>,
  { ownership, watchedMs }: Extract<ListenerEvent, { type: 'owner-checked' }>,
  { listen, tunnel }: ListenerRules,
): Step {
  if (ownership.type === 'free') return [{ ...life, state: { type: 'acquiring' } }, [], { type: 'acquire' }];
  const waiting: State = { type: 'waiting', reported: ownership.type };
  if (ownership.type === 'copied' && identified) {
    if (watchedMs >= UNUSED_FOR_MS) return checkOwner(life, reported, [{ type: 'owned' }]);
    return [{ ...life, state: waiting }, [], { type: 'sleep', ms: IDENTIFY_EVERY_MS, wakes: 'taken' }];
  }
  const barred = ownership.type === 'barred';
  const failure = whyNotRequested(listen, ownership, tunnel, UNUSED_FOR_MS);
  const report: Report = { type: 'refused', refusal: barred ? 'in-use' : 'unknown', failure, elsewhere: barred };
  const reports: readonly Report[] = ownership.type === reported ? [] : [report, { type: 'answered' }];
  const next = { ...life, staleSince: reports.length === 0 ? life.staleSince : null };
  return barred
    ? [{ ...next, state: waiting }, reports, { type: 'sleep', ms: A_DAY_MS, wakes: 'taken' }]
    : [{ ...next, state: { type: 'identifying', reported: ownership.type } }, reports, { type: 'identify' }];
}

function granted(life: Life, { port }: Extract<ListenerEvent, { type: 'granted' }>, { now }: Moment): Step {
  const { staleSince } = life;
  const freed: readonly Report[] =
    staleSince === null ? [] : [{ type: 'evicted', seconds: Math.round((now - staleSince) / 1000) }];
  const grant: Grant = { port, last: null, repeated: 0 };
  return verify({ ...life, heard: true, staleSince: null }, { grant, times: 1 }, freed);
}

/**
 * The reason is found out once: that takes a connection to the listener, and sshd (serverloop.c) waits longer before it probes a dead
 * client of ours to which it has traffic. Where it matters which program listens there, the reason is found out again, at growing
 * intervals.
 */
function refused(life: Life, { failure, isNew }: Extract<ListenerEvent, { type: 'refused' }>, moment: Moment): Step {
  const { diagnosis } = life;
  if (diagnosis !== null && !(isNew && moment.now >= diagnosis.againAt))
    return diagnosed(life, failure, diagnosis, moment);
  const pauseMs = diagnosis?.pauseMs ?? SELDOM_MS;
  const next = { againAt: moment.now + pauseMs, pauseMs: Math.min(pauseMs * 2, LONGEST_SELDOM_MS) };
  return [{ ...life, heard: true, state: { type: 'diagnosing', failure, diagnosis: next } }, [], { type: 'diagnose' }];
}

function diagnosed(life: Life, failure: TunnelFailure, diagnosis: Diagnosis, moment: Moment): Step {
  const { reason } = diagnosis;
  const { other, refusal, ours } = reason;
  const reports: readonly Report[] = [
    ...(other === undefined ? [] : [{ type: 'other-seen', other } as const]),
    { type: 'refused', refusal, failure: refusalFailure(failure, reason), elsewhere: false },
    { type: 'answered' },
    { type: 'release' },
  ];
  const staleSince = ours === true ? (life.staleSince ?? moment.now) : null;
  const next = { ...life, heard: true, diagnosis, staleSince };
  return moment.suspended ? begin(next, reports, moment) : pause(next, 0, reports, moment);
}

/** Waits before the next request. */
function pause(life: Life, atLeastMs: number, reports: readonly Report[], { now, random }: Moment): Step {
  const ms = Math.max(atLeastMs, listenRetryDelay(now - life.since, random));
  return [{ ...life, state: { type: 'pausing' } }, reports, { type: 'sleep', ms, wakes: 'nothing' }];
}

function verify(
  life: Life,
  { grant, times, renewed = false }: Pick<Verifying, 'grant' | 'times'> & Partial<Verifying>,
  reports: readonly Report[] = [],
): Step {
  return [
    { ...life, state: { type: 'verifying', grant, times, renewed } },
    reports,
    { type: 'verify', port: grant.port },
  ];
}

/** One late probe is no reason to cancel a listener that works. */
function verified(
  life: Life,
  { grant, times, renewed }: Verifying,
  result: VerifyResult,
  rules: ListenerRules,
  moment: Moment,
): Step {
  if (isMiss(result) && times < mostMisses(grant.last)) {
    const again = { grant, times: times + 1, renewed };
    if (grant.last === null) return verify(life, again);
    return [
      { ...life, state: { type: 'doubting', ...again } },
      [],
      { type: 'sleep', ms: BETWEEN_MISSES_MS, wakes: 'nothing' },
    ];
  }
  // The other program has closed its part of the listener.
  if (grant.last === 'part' && !renewed && result.type === 'ours' && !result.whole)
    return [
      { ...life, state: { type: 'renewing', grant: { ...grant, last: 'part' } } },
      [],
      { type: 'renew', port: grant.port },
    ];
  // The owner is checked only where it may be another device.
  if ((result.type !== 'part' || !result.shared) && result.type !== 'other')
    return applyResult(life, grant, result, rules, moment);
  const other = result.type === 'part' ? result.other : result;
  const state: State = { type: 'judging', grant, result };
  return [{ ...life, state }, [{ type: 'other-seen', other }], { type: 'check-owner', watched: false }];
}

/** So many misses in a row count; a listener that is ours in part is verified often anyway. */
function mostMisses(last: ListenerStatus | null): number {
  if (last === null) return 2;
  return last === 'part' ? 1 : 3;
}

/** What follows from the result of a verification. */
function applyResult(life: Life, grant: Grant, result: VerifyResult, rules: ListenerRules, moment: Moment): Step {
  const { last, port } = grant;
  const judgement = judge(rules.listen, result, rules.verify, last ?? undefined);
  const { status } = judgement;
  const found: readonly Report[] = judgement.type === 'up' ? [{ type: 'owned' }, judgement] : [judgement];
  if (status === null) return cancel(life, grant, found);
  if (last !== null) {
    const repeated = status === last ? grant.repeated + 1 : 0;
    return serve(life, { port, last: status, repeated }, found, moment);
  }
  const first = { ...life, losses: 0 };
  const next: Judged = { port, last: status, repeated: 0 };
  const reports: readonly Report[] = [...found, { type: 'answered' }];
  if (status !== 'ours' || rules.verify === 'off') return serve(first, next, reports, moment);
  return [{ ...first, state: { type: 'checking-exposure', grant: next } }, reports, { type: 'check-exposure', port }];
}

function serve(life: Life, grant: Judged, reports: readonly Report[], { suspended, random }: Moment): Step {
  if (suspended) return suspend(life, grant, reports);
  const ms = verifyAgainAfter(grant.last, grant.repeated) * (1 + random() / 3);
  return [{ ...life, state: { type: 'serving', grant } }, reports, { type: 'sleep', ms, wakes: 'recheck' }];
}

function suspend(life: Life, grant: Grant, reports: readonly Report[]): Step {
  return cancel(life, grant, [], [...reports, { type: 'suspended' }]);
}

function cancel(life: Life, grant: Grant, after: readonly Report[], before: readonly Report[] = []): Step {
  return [{ ...life, state: { type: 'cancelling', grant, after } }, before, { type: 'cancel', port: grant.port }];
}

function cancelled(last: Life, grant: Grant, after: readonly Report[], moment: Moment): Step {
  const had = grant.last !== null;
  const life = had ? { ...last, since: moment.now, diagnosis: null } : last;
  const reports: readonly Report[] = [...after, ...(had ? [] : [{ type: 'answered' } as const]), { type: 'release' }];
  if (moment.suspended) return begin(life, reports, moment);
  const losses = life.losses + 1;
  return pause({ ...life, losses }, Math.min(1000 * 2 ** losses, LONGEST_PAUSE_MS), reports, moment);
}

/** Longer than most outages of the machine that may have it, and short for a machine that replaces it. */
const UNUSED_FOR_MS = 120_000;
/** Each connection may keep a server from noticing that a client of ours is dead. */
const IDENTIFY_EVERY_MS = 30_000;
const A_DAY_MS = 86_400_000;

const SELDOM_MS = 60_000;
const LONGEST_SELDOM_MS = 15 * 60_000;

const BETWEEN_MISSES_MS = 5000;
const LONGEST_PAUSE_MS = 300_000;

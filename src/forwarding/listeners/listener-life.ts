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
 *               free             acquired              granted
 *  owner checked ───────▶ acquired ───────▶ requested ─────────▶ verified ⇄ doubted  (misses of one that worked)
 *    │   ▲                                      │                  │   ▲
 *    ▼   │                              refused │                  ▼   │ again, from time to time
 *  waits, or is identified                      ▼                 serves
 *  (another device's, or                    diagnosed              │
 *   of a copied machine)                        │                  │ leads elsewhere, or is suspended
 *  owner checked ◀────────── pause ◀────────────┴─── cancelled ◀───┘
 * ```
 * A granted listener is cancelled only when another program was seen at each of its addresses, when it is another device's, or when it
 * is suspended for a replacement of this tunnel. Never resolves; rejects only with a rejection of one of the actions.
 */
export async function liveListener(rules: ListenerRules, actions: ListenerActions): Promise<never> {
  const { now, random, isSuspended, answered, acquire, release, sleep } = actions;
  const life: Life = { rules, actions, since: now(), losses: 0, heard: false, diagnosis: null, staleSince: null };
  for (;;) {
    // A suspended listener counts as answered.
    if (isSuspended()) answered();
    await untilRequestable(life);
    await acquire();
    const wasGranted = await request(life).finally(release);
    if (isSuspended()) continue;
    if (wasGranted) life.losses += 1;
    const atLeastMs = wasGranted ? Math.min(1000 * 2 ** life.losses, LONGEST_PAUSE_MS) : 0;
    await sleep(Math.max(atLeastMs, listenRetryDelay(now() - life.since, random)), 'nothing');
  }
}

export interface ListenerRules {
  readonly listen: Endpoint;
  readonly verify: TunnelSpec['verify'];
  /** The tunnel's name. */
  readonly tunnel: string;
}

/** What is done for the listener, and whom it is reported to. `port` is the one that the server has granted. */
export interface ListenerActions {
  now(): number;
  readonly random: () => number;
  isSuspended(): boolean;
  /** `watchedMs`: for how long it has been watched, where that is wanted. */
  checkOwner(watched: boolean): { readonly ownership: Ownership; readonly watchedMs: number };
  sleep(ms: number, wakes: 'taken' | 'recheck' | 'nothing'): Promise<void>;
  acquire(): Promise<void>;
  release(): void;
  /** Only the first answer of a connection is `bounded`. */
  request(bounded: boolean): Promise<{ readonly port: number } | RequestRefused>;
  /** Why it was refused. */
  diagnose(): Promise<RefusalReason>;
  /** Which program answers at a listener that is not ours. */
  identify(): Promise<VerifyResult>;
  verify(port: number): Promise<VerifyResult>;
  isExposed(port: number): Promise<boolean>;
  /** Cancels it and requests it again; false where it was lost by that. */
  renew(port: number): Promise<boolean>;
  cancel(port: number): Promise<void>;
  /** To be remembered of its owner: another program was seen there, or this machine has it. */
  otherSeen(other: OtherProgram): void;
  owned(): void;
  /** There is a first answer: granted, refused or suspended. */
  answered(): void;
  up(seen: Pick<Up, 'unverified' | 'misplaced'>): void;
  exposed(): void;
  suspended(): void;
  refused(refused: Refused): void;
  /** It came free after so many seconds in which a dead connection of ours most likely had it. */
  evicted(seconds: number): void;
}

export interface Refused {
  readonly refusal: Refusal;
  readonly failure: TunnelFailure;
  /** Visitors do not come out here. */
  readonly elsewhere: boolean;
}

/** `isNew`: this machine never had it, so that it matters which program has it. */
export interface RequestRefused {
  readonly failure: TunnelFailure;
  readonly isNew: boolean;
}

interface Life {
  readonly rules: ListenerRules;
  readonly actions: ListenerActions;
  /** Since when it is requested without being granted. */
  since: number;
  /** How many times in a row it was granted and led elsewhere. */
  losses: number;
  /** Whether the server has answered a request for it on this connection: later answers are not bounded. */
  heard: boolean;
  diagnosis: Diagnosis | null;
  /** Since when most likely a dead connection of ours has it, or null. */
  staleSince: number | null;
}

/** Why the server refuses it, as was found out last. */
interface Diagnosis {
  readonly reason: RefusalReason;
  /** When the reason may be looked for again. */
  readonly againAt: number;
  /** Milliseconds from then to the next time. */
  readonly pauseMs: number;
}

/**
 * The listener is requested at once, with two exceptions: another device's only after a person's decision; and where this machine may be
 * a copy of the one that had it, only after it was unused for UNUSED_FOR_MS: whatever answers there is identified.
 */
async function untilRequestable(life: Life): Promise<void> {
  const { rules, actions } = life;
  let reported: Ownership['type'] = 'free';
  let identified = false;
  for (;;) {
    const { ownership, watchedMs } = actions.checkOwner(identified);
    if (ownership.type === 'free') return;
    const barred = ownership.type === 'barred';
    if (identified && !barred) {
      identified = false;
      if (watchedMs >= UNUSED_FOR_MS) actions.owned();
      else await actions.sleep(IDENTIFY_EVERY_MS, 'taken');
      continue;
    }
    if (ownership.type !== reported) {
      const failure = whyNotRequested(rules.listen, ownership, rules.tunnel, UNUSED_FOR_MS);
      actions.refused({ refusal: barred ? 'in-use' : 'unknown', failure, elsewhere: barred });
      actions.answered();
      life.staleSince = null;
    }
    reported = ownership.type;
    identified = !barred;
    if (barred) await actions.sleep(A_DAY_MS, 'taken');
    else {
      const result = await actions.identify();
      if (result.type === 'other') actions.otherSeen(result);
    }
  }
}

/** Longer than most outages of the machine that may have it, and short for a machine that replaces it. */
const UNUSED_FOR_MS = 120_000;
/** Each connection may keep a server from noticing that a client of ours is dead. */
const IDENTIFY_EVERY_MS = 30_000;
const A_DAY_MS = 86_400_000;

/** Resolves with false where it is refused, and with true when a granted one is not ours any more. */
async function request(life: Life): Promise<boolean> {
  const { actions, staleSince } = life;
  const answer = await actions.request(!life.heard);
  life.heard = true;
  if ('failure' in answer) {
    await refused(life, answer);
    return false;
  }
  if (staleSince !== null) actions.evicted(Math.round((actions.now() - staleSince) / 1000));
  life.staleSince = null;
  await serve(life, answer.port);
  return true;
}

/**
 * The reason is found out once: that takes a connection to the listener, and sshd (serverloop.c) waits longer before it probes a dead
 * client of ours to which it has traffic. Where it matters which program listens there, the reason is found out again, at growing
 * intervals.
 */
async function refused(life: Life, { failure, isNew }: RequestRefused): Promise<void> {
  const { actions, diagnosis: last } = life;
  const isKnown = last !== null && !(isNew && actions.now() >= last.againAt);
  const diagnosis = isKnown ? last : await diagnose(actions, last?.pauseMs ?? SELDOM_MS);
  const { other, refusal, ours } = diagnosis.reason;
  if (other !== undefined) actions.otherSeen(other);
  actions.refused({ refusal, failure: refusalFailure(failure, diagnosis.reason), elsewhere: false });
  actions.answered();
  life.diagnosis = diagnosis;
  life.staleSince = ours === true ? (life.staleSince ?? actions.now()) : null;
}

async function diagnose({ now, diagnose: findReason }: ListenerActions, pauseMs: number): Promise<Diagnosis> {
  const againAt = now() + pauseMs;
  return { reason: await findReason(), againAt, pauseMs: Math.min(pauseMs * 2, LONGEST_SELDOM_MS) };
}

const SELDOM_MS = 60_000;
const LONGEST_SELDOM_MS = 15 * 60_000;

/** While the server listens for us. Resolves when the listener was cancelled, or lost. */
async function serve(life: Life, port: number): Promise<void> {
  const { actions } = life;
  let last: ListenerStatus | null = null;
  let repeated = 0;
  for (;;) {
    const status = await verifyAndReport(life, port, last);
    if (status === null) break;
    if (last === null) await begin(life, port, status);
    repeated = status === last ? repeated + 1 : 0;
    last = status;
    if (!actions.isSuspended())
      await actions.sleep(verifyAgainAfter(status, repeated) * (1 + actions.random() / 3), 'recheck');
    if (actions.isSuspended()) {
      actions.suspended();
      await actions.cancel(port);
      break;
    }
  }
  if (last === null) actions.answered();
  else {
    life.since = actions.now();
    life.diagnosis = null;
  }
}

/** Null where the listener is cancelled, or lost, for what was seen. */
async function verifyAndReport(
  { rules, actions }: Life,
  port: number,
  last: ListenerStatus | null,
): Promise<ListenerStatus | null> {
  let result = await verify(actions, port, last);
  // The other program has closed its part of the listener.
  if (last === 'part' && result.type === 'ours' && !result.whole) {
    if (!(await actions.renew(port))) return null;
    result = await verify(actions, port, last);
  }
  if (isAnothers(result, actions)) {
    await actions.cancel(port);
    return null;
  }
  const judgement = judge(rules.listen, result, rules.verify, last ?? undefined);
  if (judgement.status === null) await actions.cancel(port);
  if (judgement.type === 'refused') actions.refused(judgement);
  else {
    actions.owned();
    actions.up(judgement);
  }
  return judgement.status;
}

/** One late probe is no reason to cancel a listener that works. */
async function verify(actions: ListenerActions, port: number, last: ListenerStatus | null): Promise<VerifyResult> {
  for (let times = 1; ; times += 1) {
    const result = await actions.verify(port);
    if (!isMiss(result) || times >= mostMisses(last)) return result;
    if (last !== null) await actions.sleep(BETWEEN_MISSES_MS, 'nothing');
  }
}

/** So many misses in a row count; a listener that is ours in part is verified often anyway. */
function mostMisses(last: ListenerStatus | null): number {
  if (last === null) return 2;
  return last === 'part' ? 1 : 3;
}

const BETWEEN_MISSES_MS = 5000;

/** Whether it is another device's: then it is cancelled even where part of it leads here. The owner is checked only where that may be. */
function isAnothers(result: VerifyResult, { otherSeen, checkOwner }: ListenerActions): boolean {
  const isShared = result.type === 'part' && result.shared;
  if (result.type !== 'other' && !isShared) return false;
  otherSeen(result.type === 'other' ? result : result.other);
  return checkOwner(false).ownership.type === 'barred';
}

/** The first verification of a granted listener is over, and it is kept. */
async function begin(life: Life, port: number, status: ListenerStatus): Promise<void> {
  const { rules, actions } = life;
  life.losses = 0;
  actions.answered();
  if (status === 'ours' && rules.verify !== 'off' && (await actions.isExposed(port))) actions.exposed();
}

const LONGEST_PAUSE_MS = 300_000;

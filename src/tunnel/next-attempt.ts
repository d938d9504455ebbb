import type { JoinedShare } from '../connection/shared/connection-pool.ts';
import type { FailureCode, TunnelFailure } from '../model/failure.ts';
import type { Phase } from '../model/state.ts';
import type { TurnRequest } from '../net/pacing/turns.ts';
import {
  blockedDelay,
  cheapDelay,
  isCheap,
  loginBackoff,
  loginDelay,
  reconnectDelay,
  loginHistoryOf,
  type Backoff,
} from './backoff.ts';
import { isLate, learnShort, mustNotShare, shareAgainAt, type ShareHistory } from './seek-share.ts';

/**
 * What is known of a tunnel's attempts so far. Two clocks decide when it dials, and an attempt waits for one after the other:
 *
 * | clock | whose | decides | by |
 * |---|---|---|---|
 * | nextAttempt(), below | one tunnel's | when it tries again | its own failures, and how long its sessions lasted |
 * | net/pacing | the process', for each server | when the connection of an attempt may begin: its *turn* | all connections to that server, and its limits |
 *
 * `turnInMs` asks the second one in advance where that matters: after a failure that cost the server nothing, so that the state shows the
 * later of the two, and where another connection might be joined. Attempts come in series:
 * ```
 *   start ──▶ attempt ──▶ it failed, and there is
 *               ▲  ▲        ├─ a person to act, or a session behind it that had lasted ──▶ wait ──▶ start
 *               │  │        ├─ in this series no lost session before this one ───────────▶ at once ──┐
 *               │  │        ├─ a drop by chance, or another's connection to share ───────▶ at once ──┤
 *               │  └────────┼─ nothing that it cost the server ──────────────▶ every second or two ──┤
 *               └───────────┴─ a login that it cost ──▶ ever longer                                  │
 *               ▲                                                                                    │
 *               └──────────── the phase stays `waiting` until the server answers ────────────────────┘
 * ```
 * An interruption ends a series from anywhere: the next one starts at once.
 */
export interface History extends ShareHistory {
  /** The limits of the growing waits, drawn once for each series. */
  readonly limits: Backoff;
  /** The number of growing waits in this series. */
  readonly grown: number;
  /** Whether a session was lost in this series. */
  readonly lossSeen: boolean;
  /** Whether the retry of the last failure is independent of the growing wait of logins. */
  readonly ownPace: boolean;
  /** When the last attempt began. */
  readonly triedAt: number;
  /** Since when the tunnel is not logged in. */
  readonly downSince: number;
  /** Rejected logins since the last successful one. */
  readonly rejections: number;
  /** Whether a person asked, or something changed, since the last turn at the server. */
  readonly urgent: boolean;
  /** When the tunnel last had a turn at the server. */
  readonly turnAt: number;
}

export function startHistory(policy: Backoff, now: number, random: () => number): History {
  return {
    ...startSeries(policy, random),
    triedAt: now,
    downSince: now,
    rejections: 0,
    shortShares: [],
    shareAfter: Number.NEGATIVE_INFINITY,
    urgent: false,
    turnAt: now,
  };
}

function startSeries(policy: Backoff, random: () => number) {
  return { limits: loginBackoff(policy, random), grown: 0, lossSeen: false, ownPace: false };
}

export interface AttemptOutcome {
  readonly failure: TunnelFailure;
  /** For how long it was logged in; null where it never was. */
  readonly heldForMs: number | null;
  /** Where that was on another tunnel's connection, the share of it. */
  readonly joined: Pick<JoinedShare, 'endedAlone'> | null;
  /** Whether the server dropped it at random, while it let in other connections of ours (MaxStartups). */
  readonly byChance: boolean;
  /** Whether this tunnel was up at some time before. */
  readonly worked: boolean;
  /** Milliseconds until the server may be dialled again; 0 where that depends on other attempts. Called only where it matters. */
  turnInMs(): number;
  /** Whether another connection with the same login carries one more tunnel. */
  readonly canJoin: boolean;
}

export interface Next {
  readonly phase: 'waiting' | 'blocked';
  readonly delayMs: number;
  readonly history: History;
}

/** The one place where it is decided when to try again. */
export function nextAttempt(
  policy: Backoff,
  before: History,
  outcome: AttemptOutcome,
  now: number,
  random: () => number,
): Next {
  const { failure, heldForMs, byChance, worked } = outcome;
  const known = learn(before, outcome, now);
  if (failure.kind === 'needs-human') {
    const delayMs = blockedDelay(failure.code, worked ? known.rejections : 0, policy, random);
    return { phase: 'blocked', delayMs, history: { ...known, ...startSeries(policy, random), urgent: false } };
  }
  const phase = 'waiting';
  if (heldForMs !== null && heldForMs >= LASTED_MS) {
    const delayMs = reconnectDelay(random);
    return { phase, delayMs, history: { ...known, ...startSeries(policy, random), urgent: false } };
  }
  const lossSeen = known.lossSeen || heldForMs !== null;
  if (lossSeen !== known.lossSeen || byChance || shouldJoin(known, outcome))
    return { phase, delayMs: reconnectDelay(random), history: { ...known, lossSeen, ownPace: true } };
  if (isCheap(failure)) {
    const delayMs = Math.max(cheapDelay(now - known.downSince, policy.minMs, random), outcome.turnInMs());
    return { phase, delayMs, history: { ...known, ownPace: true } };
  }
  const delayMs = loginDelay(known.limits, known.grown);
  return { phase, delayMs, history: { ...known, grown: known.grown + 1, ownPace: false } };
}

function learn(before: History, { failure, heldForMs, joined }: AttemptOutcome, now: number): History {
  // What falls silent ends with its path, however many connections there are.
  const suspect = failure.code === 'keepalive-lost' ? null : joined;
  return {
    ...before,
    downSince: heldForMs === null ? before.downSince : now,
    shortShares: heldForMs === null ? before.shortShares : learnShort(before.shortShares, suspect, heldForMs, now),
    shareAfter: heldForMs === null ? before.shareAfter : shareAgainAt(joined !== null, now),
    rejections: before.rejections + (failure.code === 'auth-rejected' ? 1 : 0),
  };
}

/** Whether to join another connection at once, because the tunnel would have to wait for a turn of its own at the server. */
function shouldJoin({ shortShares }: History, outcome: AttemptOutcome): boolean {
  if (!MET_BY_DIALLING.includes(outcome.failure.code) || !outcome.canJoin || mustNotShare(shortShares)) return false;
  return isLate(outcome.turnInMs(), 0);
}

/** The present attempt or wait is given up for an attempt at once. `urgent`: a person, or something that changed, is the reason. */
export function interrupt(history: History, policy: Backoff, urgent: boolean, random: () => number): History {
  return { ...history, ...startSeries(policy, random), urgent };
}

export function beginAttempt(history: History, now: number): History {
  return { ...history, triedAt: now };
}

export function takeTurn(history: History, now: number): History {
  return { ...history, turnAt: now, urgent: false };
}

export function logIn(history: History): History {
  return { ...history, rejections: 0 };
}

/** The tunnel's request for a turn at the server. */
export function turnRequest(
  { rejections, urgent, turnAt }: History,
  worked: boolean,
): Pick<TurnRequest, 'loginHistory' | 'urgent' | 'since'> {
  return { loginHistory: loginHistoryOf(rejections, worked), urgent, since: turnAt };
}

/**
 * Whether a change of the network ends the present attempt or wait: the failure may not happen in another network, but an unstable link
 * must not make us flood the server.
 */
export function mayTryAgain(
  { ownPace, triedAt }: History,
  { phase, failure }: { readonly phase: Phase; readonly failure: { readonly code: FailureCode } | null },
  now: number,
): boolean {
  if (phase !== 'waiting' && phase !== 'blocked') return phase === 'waiting-for-network';
  return ownPace || (failure?.code !== 'auth-rejected' && now - triedAt > SELDOM_MS);
}

/** A session that was logged in this long was a success: its end starts a new series. */
const LASTED_MS = 10_000;

/** Failures of a dial; an attempt that fails before its turn would fail again at once. */
const MET_BY_DIALLING: readonly FailureCode[] = ['connect-refused', 'connect-timeout', 'unreachable'];

/** After a failed login, and while a person must act, a new network causes an attempt only this often. */
const SELDOM_MS = 10_000;

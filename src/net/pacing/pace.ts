import type { ConnectionEvent } from './connection-event.ts';
import type { Pace, PaceRequest } from './types.ts';
import { FAIL2BAN_MS, loginAt } from './failed-logins.ts';
import { inWindow } from './window.ts';

export const START: Pace = {
  begun: [],
  pending: 0,
  established: 0,
  width: 1,
  probing: false,
  refused: 0,
  dropped: 0,
  droppedAt: Number.NEGATIVE_INFINITY,
  quietUntil: 0,
  retryAt: 0,
  limit: { type: 'unknown' },
  limitBefore: null,
  rejected: [],
  lastRejected: null,
  penaltyUntil: 0,
};

/** A connection that has begun. */
export interface Begun extends Pick<PaceRequest, 'purpose' | 'loginHistory'> {
  readonly at: number;
}

export function begin(pace: Pace, { at, purpose }: Begun): Pace {
  const next = { ...pace, begun: [...pace.begun, at].slice(-MAX_BEGUN) };
  return purpose === 'probe' ? { ...next, probing: true } : { ...next, pending: pace.pending + 1 };
}

/** The earliest time at which this connection may begin, or infinity where only an event can end the wait. */
export function nextAt(pace: Pace, { purpose, loginHistory, urgent, limit }: PaceRequest, now: number): number {
  if (purpose === 'probe' ? pace.probing : pace.pending >= pace.width) return Number.POSITIVE_INFINITY;
  return Math.max(
    now,
    pace.quietUntil,
    urgent ? 0 : pace.retryAt,
    limit === null ? roomAt(pace, now) : windowAt(pace.begun, limit.count, limit.windowMs + SLACK_MS, now),
    purpose === 'probe' ? 0 : loginAt(pace, { loginHistory, urgent }, now),
    penaltyBorneAt(pace, pace.dropped > 0 && loginHistory !== 'proven' ? GRACE_EXCEEDED_MS : AUTH_FAILED_MS, now),
  );
}

/** The pace after an event of a connection. `random` spreads devices that share a server. */
export function applyEvent(last: Pace, event: ConnectionEvent, begun: Begun, now: number, random: () => number): Pace {
  if (event === 'opened') return applyOpened(last, now);
  if (event === 'ended') return applyEnded(last, now);
  const pace = begun.purpose === 'probe' ? { ...last, probing: false } : { ...last, pending: last.pending - 1 };
  switch (event) {
    case 'refused':
    case 'barred':
    case 'unanswered':
    case 'unsent':
      return applyNotOpened(pace, event, begun, now, random);
    case 'dropped':
      return applyDropped(pace, begun, now, random);
    case 'accepted': {
      const width = Math.min(pace.width + 1, MAX_WIDTH);
      return { ...pace, width, established: pace.established + 1, dropped: 0, lastRejected: null };
    }
    case 'rejected': {
      const rejected = [...inWindow(pace.rejected, FAIL2BAN_MS, now), now];
      const { loginHistory } = begun;
      const lastRejected =
        pace.lastRejected === 'proven' || loginHistory === 'rejected' ? pace.lastRejected : loginHistory;
      return { ...charge(pace, AUTH_FAILED_MS, now), rejected, dropped: 0, lastRejected };
    }
    case 'left':
      return charge(pace, NO_LOGIN_MS, now);
  }
}

function applyDropped(pace: Pace, begun: Begun, now: number, random: () => number): Pace {
  // A late drop is LoginGraceTime, an early one MaxStartups.
  const charged = now - begun.at > LATE_DROP_MS ? charge(pace, GRACE_EXCEEDED_MS, now) : pace;
  if (begun.at <= pace.droppedAt) return charged;
  const dropped = pace.dropped + 1;
  const wait = Math.min(DROP_MS * 2 ** (dropped - 1), LONGEST_DROP_MS) * (0.5 + random());
  const width = Math.max(1, Math.floor(pace.width / 2));
  return { ...charged, dropped, droppedAt: now, width, quietUntil: now + wait };
}

/** See Pace.limitBefore. */
function applyEnded(last: Pace, now: number): Pace {
  const pace = { ...last, established: Math.max(0, last.established - 1) };
  if (pace.established > 0 || pace.limitBefore === null || pace.quietUntil <= now) return pace;
  return { ...pace, limit: pace.limitBefore, limitBefore: null, quietUntil: now };
}

function applyOpened(pace: Pace, now: number): Pace {
  // More than any usual limit lets in, also where clocks do not agree: there is none.
  const unlimited = inWindow(pace.begun, WINDOW_MS - 2 * SLACK_MS, now).length > USUAL_LIMIT;
  return { ...pace, refused: 0, retryAt: 0, limit: unlimited ? { type: 'none' } : pace.limit };
}

/** The connection did not open: waits longer before the next, and learns of a limit where it shows itself. */
function applyNotOpened(
  pace: Pace,
  event: 'refused' | 'barred' | 'unanswered' | 'unsent',
  begun: Begun,
  now: number,
  random: () => number,
): Pace {
  if (event === 'unsent') return { ...pace, begun: without(pace.begun, begun.at) };
  const burst = followsBurst(pace, begun.at, now);
  if (event === 'unanswered') {
    const next = { ...pace, width: 1, refused: 0, retryAt: 0 };
    // What let in more than any usual limit, and whose connections have ended since, is more likely gone.
    const isGone = pace.limit.type === 'none' && pace.established === 0 && pace.rejected.length === 0;
    if (burst && !isGone) return assumeLimit(next, event, begun, now, random);
    // Where nothing answers, hardly anything has arrived.
    return { ...next, begun: without(pace.begun, begun.at) };
  }
  const refused = { ...pace, width: 1, refused: pace.refused + 1 };
  const next = { ...refused, retryAt: now + retryDelay(refused, now, random) };
  const showsLimit = event === 'barred' || (burst && pace.established > 0);
  return showsLimit ? assumeLimit(next, event, begun, now, random) : next;
}

/** Whether a limit has just shown itself, or is known. */
export function isLimited({ limit, quietUntil }: Pace, now: number): boolean {
  return limit.type === 'known' ? limit.until > now : limit.type === 'suspected' && quietUntil > now;
}

/** Whether there is nothing to remember of this server. */
export function isForgettable(pace: Pace, now: number): boolean {
  return (
    pace.pending === 0 &&
    !pace.probing &&
    pace.established === 0 &&
    inWindow([...pace.begun, ...pace.rejected], FAIL2BAN_MS, now).length === 0 &&
    (pace.limit.type !== 'known' || pace.limit.until < now)
  );
}

/**
 * When the penalty is so small that one more failure does not shut us out, whatever comes of the connections under way.
 */
function penaltyBorneAt({ penaltyUntil, pending }: Pace, nextMs: number, now: number): number {
  return penaltyUntil <= now ? now : penaltyUntil + pending * AUTH_FAILED_MS + nextMs - SHUT_OUT_MS;
}

function charge(pace: Pace, ms: number, now: number): Pace {
  return { ...pace, penaltyUntil: Math.max(pace.penaltyUntil, now) + ms };
}

/** When the next connection stays within what a server may allow, as far as that is known. */
function roomAt(pace: Pace, now: number): number {
  const { limit, begun, refused } = pace;
  switch (limit.type) {
    case 'known':
      return windowAt(begun, limit.until > now ? RESPECTED : USUAL_LIMIT, WINDOW_MS, now);
    case 'none':
      return now;
    case 'unknown':
    case 'suspected': {
      const at = windowAt(begun, USUAL_LIMIT, WINDOW_MS, now);
      if (at <= now || refused > 0) return at;
      // The connection that shows whether there is a limit goes alone.
      return pace.pending === 0 ? now : Number.POSITIVE_INFINITY;
    }
  }
}

function windowAt(begun: readonly number[], most: number, windowMs: number, now: number): number {
  const recent = inWindow(begun, windowMs, now);
  return recent.length < most ? now : recent[recent.length - most]! + windowMs;
}

/** Whether so many connections were accepted just before this one that a limit is the likely reason. */
function followsBurst(pace: Pace, begunAt: number, now: number): boolean {
  return inWindow(without(pace.begun, begunAt), WINDOW_MS, now).length >= BURST;
}

/** Waits until the server has forgotten all our connections: it counts rejected ones as well. */
function assumeLimit(
  pace: Pace,
  event: 'refused' | 'barred' | 'unanswered',
  begun: Begun,
  now: number,
  random: () => number,
): Pace {
  const { limit } = pace;
  const shown = limit.type === 'suspected' || limit.type === 'known';
  const quietUntil = now + WINDOW_MS + 3000 * random();
  const isCertain = event === 'barred' && followsBurst(pace, begun.at, now);
  // Of those that were under way together each meets the same.
  if (shown && begun.at <= limit.since && !isCertain) return { ...pace, quietUntil };
  return {
    ...pace,
    limit: shown || isCertain ? { type: 'known', since: now, until: now + DAY_MS } : { type: 'suspected', since: now },
    limitBefore: event === 'refused' ? limit : null,
    quietUntil,
  };
}

/**
 * Quick where sshd is only restarted; later so slow that even two devices behind one address stay below a limit
 * together.
 */
function retryDelay(pace: Pick<Pace, 'limit' | 'refused' | 'begun'>, now: number, random: () => number): number {
  const isQuick = pace.limit.type === 'none' && pace.refused <= UNLIMITED_RETRIES;
  return (isQuick ? UNLIMITED_RETRY_MS : scheduledDelay(pace, now)) * (1 + 0.05 * random());
}

/**
 * Where earlier connections leave room for one retry less, the last but one is left out: the last reaches further. Unless room for it comes
 * before that anyway, because the earlier ones are soon forgotten.
 */
function scheduledDelay({ refused, begun }: Pick<Pace, 'refused' | 'begun'>, now: number): number {
  const [first = STEADY_MS, second] = RETRIES_MS.slice(refused - 1);
  if (second === undefined) return first;
  const last = RETRIES_MS.slice(refused - 1).reduce((sum, ms) => sum + ms, 0);
  const roomForSecond = windowAt([...begun, now + first], USUAL_LIMIT, WINDOW_MS, now + first + second);
  return roomForSecond <= now + last ? first : last;
}

function without(times: readonly number[], one: number): readonly number[] {
  const index = times.indexOf(one);
  return index < 0 ? times : times.toSpliced(index, 1);
}

/** For clocks that disagree, and packets that are delayed. */
const SLACK_MS = 1000;
const WINDOW_MS = 30_000 + SLACK_MS;
/** ufw accepts five and rejects the sixth. */
const USUAL_LIMIT = 5;
/** A known limit is shared with others behind the same address. */
const RESPECTED = 4;
const BURST = 4;

/**
 * Together with the connection right after a loss, these are the five that a usual limit accepts within half a minute.
 * Every two seconds they would reach 8 s only, and the sixth would come at 31 s.
 */
const RETRIES_MS = [1700, 2700, 3200, 3400];
const STEADY_MS = 15_500;
/** Where more than USUAL_LIMIT were accepted before: for the first minute. */
const UNLIMITED_RETRY_MS = 1700;
const UNLIMITED_RETRIES = 35;

/** sshd's defaults. */
const AUTH_FAILED_MS = 5000;
const NO_LOGIN_MS = 1000;
const GRACE_EXCEEDED_MS = 10_000;
const LATE_DROP_MS = 10_000;
const SHUT_OUT_MS = 15_000 - SLACK_MS;

const MAX_WIDTH = 8;
const DROP_MS = 500;
const LONGEST_DROP_MS = 60_000;

const DAY_MS = 86_400_000;
const MAX_BEGUN = 64;

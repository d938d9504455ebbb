import type { Traffic } from '../../net/transport.ts';
/** How long a connection may be silent. */
export interface LivenessOptions {
  /** Silence after which the peer is pinged, in milliseconds; 0 for never. */
  readonly intervalMs: number;
  /** The connection is dead for certain after this many intervals and one more, as in ssh (clientloop.c). */
  readonly countMax: number;
  /** The last measured round trip, or null. */
  readonly rttMs: number | null;
  /** The process is awake to ask other peers: half of the silence is enough. */
  readonly early?: boolean;
}

export interface Liveness {
  /** When the peer last showed life. */
  readonly aliveAt: number;
  /** When the ping was sent that is still unanswered, or null. */
  readonly askedAt: number | null;
  /** When, during that ping, another connection to the server was answered. */
  readonly pathSeenAt: number | null;
  /** An event makes a ping worth while at once. */
  readonly urgent: boolean;
  /** When the next assessment is due. */
  readonly dueAt: number;
  readonly sentWhenAlive: number;
  readonly traffic: Traffic;
}

export type LivenessVerdict =
  /** In doubt the answer is late: find out whether another connection to the server opens, and report it with pathSeen(). */
  | { readonly type: 'wait' | 'ask' | 'doubt'; readonly ms: number }
  | { readonly type: 'dead'; readonly silentMs: number; readonly pathWorks: boolean };

export function startLiveness(aliveAt: number, traffic: Traffic): Liveness {
  return {
    aliveAt,
    askedAt: null,
    pathSeenAt: null,
    urgent: false,
    dueAt: Number.POSITIVE_INFINITY,
    sentWhenAlive: traffic.bytesSent,
    traffic,
  };
}

/** The machine resumed from sleep or its network changed: the next assessment pings. */
export function askNow(live: Liveness): Liveness {
  return { ...live, urgent: true };
}

/** Another connection to the server was answered: the path is there. */
export function pathSeen(live: Liveness, now: number): Liveness {
  return { ...live, pathSeenAt: live.askedAt === null ? null : (live.pathSeenAt ?? now) };
}

/**
 * Takes the present counters, and returns what to do next and for how long. A dead connection is distinguished from a
 * dead path: where the path works and the connection stays silent, it gets as much time again as it has been silent,
 * for that is when TCP retransmits (RFC 6298 doubles its waits), or none after a long silence; where nothing answers,
 * to give up before ssh does would gain nothing.
 */
export function assess(
  last: Liveness,
  now: number,
  traffic: Traffic,
  options: LivenessOptions,
): { readonly next: Liveness; readonly verdict: LivenessVerdict } {
  const aliveAt = lastSignOfLife(last, now, traffic);
  const live = aliveAt === null ? { ...last, traffic } : { ...startLiveness(aliveAt, traffic), urgent: last.urgent };
  const interval = options.intervalMs === 0 ? Number.POSITIVE_INFINITY : options.intervalMs;
  const late = doubtAfter(options);

  // Held up for long (asleep, stopped): the answer may be there, or the ping was never sent.
  const heldUp = now > last.dueAt + HELD_UP_MS;
  if (live.urgent || heldUp || (live.askedAt === null && now >= live.aliveAt + silenceBefore(options, interval))) {
    const askedAt = heldUp ? now : (live.askedAt ?? now);
    return plan({ ...live, urgent: false, askedAt, pathSeenAt: heldUp ? null : live.pathSeenAt }, 'ask', late);
  }
  if (live.askedAt === null) return plan(live, 'wait', live.aliveAt + interval - now);
  if (now < live.askedAt + late) return plan(live, 'wait', live.askedAt + late - now);

  const giveUpAt = Math.min(
    Math.max(live.aliveAt, live.askedAt - interval) + interval * (options.countMax + 1),
    live.pathSeenAt === null || !mayGiveUpEarly(live)
      ? Number.POSITIVE_INFINITY
      : live.pathSeenAt + grace(live.pathSeenAt - live.askedAt),
  );
  if (now < giveUpAt) return plan(live, 'doubt', Math.min(RECHECK_MS, giveUpAt - now));
  return {
    next: live,
    verdict: { type: 'dead', silentMs: now - live.aliveAt, pathWorks: live.pathSeenAt !== null },
  };

  function plan(next: Liveness, type: 'wait' | 'ask' | 'doubt', ms: number): ReturnType<typeof assess> {
    return { next: { ...next, dueAt: now + ms }, verdict: { type, ms } };
  }
}

function silenceBefore({ early = false }: LivenessOptions, interval: number): number {
  return early ? interval / 2 : interval;
}

/** A few round trips, but at least two seconds: a radio link sleeps that long. */
function doubtAfter({ rttMs, intervalMs }: LivenessOptions): number {
  const ms = Math.min(Math.max(2000, 4 * (rttMs ?? 0)), 15_000);
  return intervalMs === 0 ? ms : Math.min(ms, intervalMs);
}

function grace(unansweredMs: number): number {
  return unansweredMs > LONG_MS ? 0 : unansweredMs + 1000;
}

const LONG_MS = 15_000;
const RECHECK_MS = 1000;
const HELD_UP_MS = 5000;

/** Where the system does not report what was acknowledged, an answer may wait behind data sent before the ping. */
function mayGiveUpEarly({ traffic, sentWhenAlive }: Liveness): boolean {
  return traffic.unacknowledged !== null || traffic.bytesSent - sentWhenAlive < MUCH;
}

/**
 * Any byte received is life. So are bytes that leave while many wait, for only the peer's acknowledgements make room
 * for them: an answer stuck behind megabytes on a slow uplink must not cost the connection. A few acknowledged bytes
 * prove nothing: the peer's kernel acknowledges for a server that hangs.
 */
function lastSignOfLife(last: Liveness, now: number, traffic: Traffic): number | null {
  if (traffic.heardAt > last.aliveAt) return traffic.heardAt;
  const before = last.traffic;
  const flows = before.backlog > 0 && traffic.bytesSent > before.bytesSent;
  return flows || (waiting(before) >= MUCH && acknowledged(traffic) > acknowledged(before)) ? now : null;
}

const MUCH = 64 * 1024;

function waiting({ unacknowledged }: Traffic): number {
  return unacknowledged ?? 0;
}

function acknowledged({ bytesSent, unacknowledged }: Traffic): number {
  return unacknowledged === null ? 0 : bytesSent - unacknowledged;
}

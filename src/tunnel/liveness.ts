/** How long a connection may be silent, and when to ask it. */
export interface LivenessOptions {
  /** Silence after which the peer is asked, and the time between questions, in milliseconds. */
  readonly intervalMs: number;
  /** Unanswered questions that are borne; when the next one is due the connection is dead, as in ssh (clientloop.c). */
  readonly countMax: number;
}

/** Counters of the socket at one moment. */
export interface Traffic {
  readonly bytesHeard: number;
  /** Bytes of ours that the operating system has taken. */
  readonly bytesSent: number;
  /** Bytes of ours that it has not taken yet, because its own buffer is full. */
  readonly backlog: number;
}

export interface Liveness {
  /** When the peer last showed life, in the caller's monotonic milliseconds. */
  readonly aliveAt: number;
  readonly askedAt: number;
  readonly unanswered: number;
  readonly traffic: Traffic;
}

export type Verdict =
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'ask' }
  | { readonly type: 'dead'; readonly silentMs: number };

export function startLiveness(now: number, traffic: Traffic): Liveness {
  return { aliveAt: now, askedAt: now, unanswered: 0, traffic };
}

/** Takes the counters as they are now, and says what to do next. */
export function assess(
  last: Liveness,
  now: number,
  traffic: Traffic,
  options: LivenessOptions,
): { readonly next: Liveness; readonly verdict: Verdict } {
  if (showsLife(last.traffic, traffic)) {
    return { next: startLiveness(now, traffic), verdict: { type: 'wait', ms: options.intervalMs } };
  }
  const due = last.askedAt + options.intervalMs;
  if (now < due) return { next: { ...last, traffic }, verdict: { type: 'wait', ms: due - now } };
  if (last.unanswered >= options.countMax) {
    return { next: { ...last, traffic }, verdict: { type: 'dead', silentMs: now - last.aliveAt } };
  }
  return { next: { ...last, traffic, askedAt: now, unanswered: last.unanswered + 1 }, verdict: { type: 'ask' } };
}

/**
 * Any byte heard is life. So are bytes that leave while a backlog waits: the kernel's buffer was full, and only the peer's
 * acknowledgements make room in it (an answer stuck behind megabytes on a slow uplink must not cost the connection).
 * Bytes taken into a buffer that has room prove nothing.
 */
function showsLife(before: Traffic, now: Traffic): boolean {
  return now.bytesHeard !== before.bytesHeard || (before.backlog > 0 && now.bytesSent > before.bytesSent);
}

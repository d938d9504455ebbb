import type { OutageCause } from './outage.ts';

/**
 * Where the watch over one tunnel stands. Times are those of one clock that also counts while the machine sleeps, in milliseconds;
 * what was before the start of the machine is negative.
 * ```
 *          works                  fails                    works
 * fresh ──────────▶ working ◀───────────────▶ down ──────────────▶ working, and an outage is over
 *   └───────────────── fails ──────────────────▲
 * ```
 */
export type Tracked =
  /** It has not worked yet, and nothing went wrong so far: to start is no outage. */
  { readonly type: 'fresh'; readonly since: number } | Working | Down;

interface Working {
  readonly type: 'working';
  readonly since: number;
  readonly silentSince: number | null;
  /** See Seen. */
  readonly replaced: boolean;
  readonly cut: number;
}

export interface Down {
  readonly type: 'down';
  readonly from: number;
  /** Null until one is seen. */
  readonly cause: OutageCause | null;
  readonly message: string;
  /** What `cut` was when the tunnel still worked. */
  readonly cutBefore: number;
  /** Connections that were cut since. */
  readonly visitors: number;
  /** For so much of it the device had no power or slept. */
  readonly offMs: number;
}

/** What is seen of a tunnel at one moment. */
export interface Seen {
  /** It is up, and each of its listeners was verified or cannot be. */
  readonly working: boolean;
  /** A listener was seen to lead elsewhere. */
  readonly elsewhere: boolean;
  readonly silentSince: number | null;
  /** It takes the place of another one, which runs on beside it. */
  readonly replaced: boolean;
  /** The last failure, perhaps of long ago. */
  readonly failure: { readonly code: OutageCause; readonly message: string; readonly at: number } | null;
  /** Connections that were cut since the tunnel is watched. */
  readonly cut: number;
  /** The machine has slept a moment ago. */
  readonly slept: { readonly from: number; readonly ms: number } | null;
}

/** Pure: the watch after a look at a tunnel, and the outage that has ended with this look. */
export function track(
  before: Tracked,
  seen: Seen,
  now: number,
): { readonly tracked: Tracked; readonly over: (Down & { readonly to: number }) | null } {
  if (seen.working) {
    const { silentSince, replaced, cut } = seen;
    const since = before.type === 'working' ? before.since : now;
    const tracked = { type: 'working', since, silentSince, replaced, cut } as const;
    return { tracked, over: before.type === 'down' ? { ...counted(before, seen), to: now } : null };
  }
  if (before.type === 'working')
    return { tracked: handedOver(look(goDown(before, seen, now), seen), before, seen), over: null };
  if (before.type === 'down') return { tracked: look(before, seen), over: null };
  const failed = seen.failure !== null || seen.elsewhere;
  return { tracked: failed ? look(downFrom(before.since, seen.cut), seen) : before, over: null };
}

/** An outage of which only the beginning is known. */
export function downFrom(from: number, cutBefore: number): Down {
  return { type: 'down', from, cause: null, message: '', cutBefore, visitors: 0, offMs: 0 };
}

function look(down: Down, seen: Seen): Down {
  return named(counted(down, seen), seen);
}

/** The counters of a tunnel begin anew where it was replaced. */
function counted(down: Down, { cut }: Seen): Down {
  return { ...down, visitors: Math.max(down.visitors, cut - down.cutBefore) };
}

/** It stopped working when it fell silent, or when the machine fell asleep, not when that was noticed. */
function goDown({ since, silentSince, cut }: Working, { slept, ...seen }: Seen, now: number): Down {
  const silent = silentSince ?? seen.silentSince ?? now;
  if (slept === null || slept.from < since || slept.from > silent) return downFrom(silent, cut);
  return { ...downFrom(slept.from, cut), cause: 'device-asleep', offMs: slept.ms };
}

/** A listener that both have is closed and opened anew in between, and verified after the other one has ended. */
function handedOver(down: Down, before: Working, { replaced }: Seen): Down {
  return down.cause === null && (before.replaced || replaced) ? { ...down, cause: 'replaced' } : down;
}

/** The first failure is the cause; what follows from it (a refused connection, a timeout) is not. */
function named(down: Down, { failure, elsewhere }: Seen): Down {
  if (down.cause !== null && down.cause !== 'replaced') return down;
  if (elsewhere) return { ...down, cause: 'not-verified' };
  return failure === null || failure.at < down.from - NOTICED_MS
    ? down
    : { ...down, cause: failure.code, message: failure.message };
}

/** The failure comes first, and is looked at later; the two clocks agree to some 10 ms. */
const NOTICED_MS = 2000;

import type { Clock } from '../lib/async/clock.ts';

/** Who may have stopped the process before: see createSuspects(). */
export interface Suspects {
  /** How long this tunnel is to wait before its first connection, and why where it is the one. */
  holdBack(name: string): HoldBack;
  /** A connection of it is there, or is no more. */
  connected(name: string): void;
  over(name: string): void;
}

export interface HoldBack {
  readonly ms: number;
  readonly why: string | null;
}

/** What outlives the process. */
export interface SuspectMemory {
  recall(): Recollection;
  keep(next: Recollection): void;
}

export interface Recollection {
  /** The tunnel that connected last, as long as that is not long ago; null when the process has ended by itself. */
  readonly last: string | null;
  /** Of whom that was so when a process came to its end, and how many times in a row. */
  readonly suspect: string | null;
  readonly times: number;
}

/**
 * Sets a tunnel apart that stops the process: by a server that makes it hang until the watchdog kills it, or that fills the memory. The
 * tunnel that connected last is kept in mind until it has been connected for a while. Where the process died before that, the tunnels
 * of the next one start one after the other, so that the right one is found; one that was it twice in a row starts last, and slowly. Where there are no `others` to be spared, nothing waits: it may
 * be the only way in.
 */
export function createSuspects(memory: SuspectMemory, others: number, clock: Clock): Suspects {
  const before = memory.recall();
  const startedAt = clock.now();
  let now = judge(before);
  if (now !== before) memory.keep(now);
  let started = 0;
  const cancels = new Map<string, () => void>();
  const keep = (next: Recollection) => {
    if (next.last === now.last && next.suspect === now.suspect && next.times === now.times) return;
    now = next;
    memory.keep(next);
  };
  const isCalm = (name: string) =>
    keep({
      last: now.last === name ? null : now.last,
      ...(now.suspect === name ? { suspect: null, times: 0 } : { suspect: now.suspect, times: now.times }),
    });
  return {
    holdBack: (name) => {
      const careful = before.last !== null && clock.now() - startedAt < CAREFUL_MS;
      if (others === 0) return { ms: 0, why: null };
      if (name === now.suspect) return holdBackSuspect(now.times, careful, others);
      return { ms: careful ? Math.min(started++ * STEP_MS, CAREFUL_MS) : 0, why: null };
    },
    connected: (name) => {
      keep({ ...now, last: name });
      cancels.set(
        name,
        clock.timer(CALM_MS, () => isCalm(name)),
      );
    },
    over: (name) => {
      cancels.get(name)?.();
      cancels.delete(name);
      if (now.last === name) keep({ ...now, last: null });
    },
  };
}

/** Pure: what the end of the process before tells. */
function judge(before: Recollection): Recollection {
  if (before.last === null) return before;
  const again = before.last === before.suspect;
  return { last: null, suspect: before.last, times: again ? before.times + 1 : 1 };
}

function holdBackSuspect(times: number, careful: boolean, others: number): HoldBack {
  if (times < 2) return { ms: careful ? Math.min(others * STEP_MS, CAREFUL_MS) : 0, why: null };
  const ms = Math.min(SLOW_MS * 2 ** (times - 2), SLOWEST_MS);
  return {
    ms,
    why: `tunneld was stopped ${times} times in a row just after this tunnel had connected: so it is started last, and slowly`,
  };
}

/** How long a tunnel is connected before it is above suspicion: by then most servers would have done what they do. */
const CALM_MS = 60_000;

/** Between two tunnels where one of them may be it, and for all of them. */
const STEP_MS = 1000;
const CAREFUL_MS = 20_000;

/** The others have this long for themselves after the second time, and twice as long after each further one. */
const SLOW_MS = 60_000;
const SLOWEST_MS = 3_600_000;

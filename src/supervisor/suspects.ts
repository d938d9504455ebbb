import type { Clock } from '../lib/async/clock.ts';
import { timerBetween } from '../lib/async/timer-between.ts';

export type Suspects = ReturnType<typeof createSuspects>;

export interface HoldBack {
  readonly ms: number;
  readonly why: string | null;
}

/** Stored across processes. */
export interface SuspectMemory {
  recall(): Recollection;
  keep(next: Recollection): void;
}

export interface Recollection {
  /** The tunnel that connected last, within CALM_MS; null when the process ended by itself. */
  readonly last: string | null;
  /** The tunnel that was `last` when a process was stopped, and how many times in a row. */
  readonly suspect: string | null;
  readonly times: number;
}

/**
 * Isolates a tunnel that stops the process: whose server makes it hang until the watchdog kills it, or exhausts the memory. The tunnel
 * that connected last is stored until it has been connected for a while. Where the process died before that, the tunnels of the next
 * process start one after the other, so that the right one is found; the same suspect twice in a row starts last, and slowly. Without
 * `others` to protect nothing waits: the tunnel may be the only way in.
 */
export function createSuspects(memory: SuspectMemory, others: number, clock: Clock) {
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
    /** How long this tunnel is to wait before its first connection, and why where it is the suspect. */
    holdBack: (name: string): HoldBack => {
      const careful = before.last !== null && clock.now() - startedAt < CAREFUL_MS;
      if (others === 0) return { ms: 0, why: null };
      if (name === now.suspect) return holdBackSuspect(now.times, careful, others);
      return { ms: careful ? Math.min(started++ * STEP_MS, CAREFUL_MS) : 0, why: null };
    },
    /** A connection of this tunnel was opened, or is closed. */
    connected: (name: string): void => {
      keep({ ...now, last: name });
      cancels.set(
        name,
        timerBetween(clock, CALM_MS, CALM_MS + SLACK_MS, () => isCalm(name)),
      );
    },
    over: (name: string): void => {
      cancels.get(name)?.();
      cancels.delete(name);
      if (now.last === name) keep({ ...now, last: null });
    },
  };
}

/** Pure: the suspect after the end of the process before. */
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
    why: `tunneld was stopped ${times} times in a row just after this tunnel had connected: it is started last, and slowly`,
  };
}

/** A tunnel that is connected for so long is no suspect: most harmful servers act earlier. */
const CALM_MS = 60_000;
/** How long that can wait for something else that wakes the process: for many tunnels that connected together at once. */
const SLACK_MS = 16_000;

/** Between the starts of two tunnels where one may be the suspect, and for all of them together. */
const STEP_MS = 1000;
const CAREFUL_MS = 20_000;

/** The suspect starts so much later after the second time, and twice as much after each further one. */
const SLOW_MS = 60_000;
const SLOWEST_MS = 3_600_000;

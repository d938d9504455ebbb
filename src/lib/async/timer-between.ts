import type { Clock } from './clock.ts';

/**
 * Calls `fn` once: as soon as something else wakes the process (awake()) after `earliestMs` milliseconds, or after `latestMs` by itself. So an
 * idle process wakes once for many of its timers (AccuracySec= of systemd.timer(5) is the same idea). The result cancels it.
 */
export function timerBetween(clock: Clock, earliestMs: number, latestMs: number, fn: () => void): () => void {
  const waiting = waitingOf(clock);
  const fire = () => {
    cancel();
    fn();
  };
  const one: Waiting = { from: clock.now() + earliestMs, fire };
  const atTheLatest = () => {
    awake(clock);
    fire();
  };
  const cancelTimer = clock.timer(latestMs, atTheLatest, true);
  const cancel = () => {
    cancelTimer();
    waiting.delete(one);
  };
  waiting.add(one);
  return cancel;
}

/** The process does at this moment what could not wait: what may come now comes with it, right after. */
export function awake(clock: Clock): void {
  const now = clock.now();
  const waiting = waitingOf(clock);
  // One by one: an exception of one is none of another, nor of the caller.
  for (const one of waiting) if (one.from <= now) setImmediate(() => waiting.has(one) && one.fire());
}

interface Waiting {
  /** On the clock, in milliseconds. */
  readonly from: number;
  fire(): void;
}

function waitingOf(clock: Clock): Set<Waiting> {
  const waiting = ALL_WAITING.get(clock) ?? new Set<Waiting>();
  ALL_WAITING.set(clock, waiting);
  return waiting;
}

const ALL_WAITING = new WeakMap<Clock, Set<Waiting>>();

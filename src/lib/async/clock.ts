import { loadAddon } from '../addon.ts';

/** Time as a parameter, so that tests can control it. */
export interface Clock {
  /** Monotonic milliseconds: the only measure of elapsed time, because a Pi has no battery for its clock. */
  now(): number;
  /** Milliseconds since 1970, for people and logs. */
  wall(): number;
  /**
   * Calls `fn` once after `ms` milliseconds, and not before; the result cancels it. `seldomFires` is for one that an idle process starts and
   * nearly always cancels: that of Node.js wakes the process all the same.
   */
  timer(ms: number, fn: () => void, seldomFires?: boolean): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  timer: (ms, fn, seldomFires = false) => {
    const { addon } = seldomFires ? loadAddon() : NO_ADDON;
    const wholeMs = Math.ceil(Math.min(ms, MAX_TIMEOUT_MS));
    if (addon !== null) return addon.startTimer(wholeMs, fn);
    // libuv counts whole milliseconds, of the start too: without one more it comes early, and an idle process would wake once more.
    const handle = setTimeout(fn, wholeMs + 1);
    return () => clearTimeout(handle);
  },
};

const NO_ADDON = { addon: null };

/** setTimeout takes 32 bits; a longer time would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 2;

/**
 * As `clock.timer()`, but what has arrived by then comes first: where the process was held up for longer than that, the timers that are due
 * precede what arrived meanwhile, and an answer in time would be taken for a late one.
 */
export function timerAfterIo(clock: Clock, ms: number, fn: () => void): () => void {
  let soon: NodeJS.Immediate | undefined;
  const cancel = clock.timer(ms, () => (soon = setImmediate(fn)));
  return () => {
    cancel();
    clearImmediate(soon);
  };
}

/** Waits `ms` milliseconds, or rejects with the signal's reason as soon as it is aborted. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return sleepUntil(clock, ms, [], signal);
}

/** Calls `listener` at each event; the result unsubscribes. */
export type Subscribe = (listener: () => void) => () => void;

/** Waits `ms` milliseconds, or until one of these calls back. Rejects only with the reason of the signal, where there is one. */
export function sleepUntil(
  clock: Clock,
  ms: number,
  sources: readonly Subscribe[],
  signal?: AbortSignal,
): Promise<void> {
  return untilCalled([(listener) => clock.timer(ms, listener), ...sources], signal);
}

/** Waits until one of these calls back. Rejects only with the reason of the signal, where there is one. */
export function untilCalled(sources: readonly Subscribe[], signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    let over = false;
    const cancels: (() => void)[] = [];
    const end = (finish: () => void) => {
      over = true;
      signal?.removeEventListener('abort', onAbort);
      for (const forget of cancels.splice(0)) forget();
      finish();
    };
    const onAbort = () => end(() => reject(signal?.reason as Error));
    const wake = () => end(resolve);
    signal?.addEventListener('abort', onAbort, { once: true });
    for (const subscribe of sources) {
      const forget = subscribe(wake);
      // The source may have fired at once.
      if (over) forget();
      else cancels.push(forget);
      if (over) return;
    }
  });
}

/** Time as a parameter, so that tests can control it. */
export interface Clock {
  /** Monotonic milliseconds: the only measure of elapsed time, because a Pi has no battery for its clock. */
  now(): number;
  /** Milliseconds since 1970, for people and logs. */
  wall(): number;
  /** Calls `fn` once after `ms` milliseconds; the result cancels it. */
  timer(ms: number, fn: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  timer: (ms, fn) => {
    const handle = setTimeout(fn, Math.min(ms, MAX_TIMEOUT_MS));
    return () => clearTimeout(handle);
  },
};

/** setTimeout takes 32 bits; a longer time would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Waits `ms` milliseconds, or rejects with the signal's reason as soon as it is aborted. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = () => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.timer(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

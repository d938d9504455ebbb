import { sleep, type Clock } from './clock.ts';
import { firstToEnd } from './scope.ts';

/**
 * Resolves with the result of `work` within `ms` milliseconds. Otherwise its signal is aborted, and this rejects with
 * the error that `late` creates, which says what timed out.
 */
export function deadline<T>(
  clock: Clock,
  ms: number,
  late: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const tooLate = async (over: AbortSignal): Promise<never> => {
    await sleep(clock, ms, over);
    throw late();
  };
  return firstToEnd<T>(signal, [work, tooLate]);
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
    for (const subscribe of [(listener: () => void) => clock.timer(ms, listener), ...sources]) {
      const forget = subscribe(wake);
      // The source may have fired at once.
      if (over) forget();
      else cancels.push(forget);
      if (over) return;
    }
  });
}

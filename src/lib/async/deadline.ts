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

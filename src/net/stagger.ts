import { childController } from '../lib/async/abort.ts';
import { timerAfterIo, type Clock } from '../lib/async/clock.ts';

export interface StaggerOptions<T> {
  readonly clock: Clock;
  /** How long to wait for one before the next starts beside it. */
  readonly delayMs: number;
  /** Undoes a success that comes too late. */
  discard(late: T): void;
}

/**
 * Begins these in order, the next one as soon as one fails or the delay is over, and resolves with the first that succeeds; the
 * others are aborted. Rejects with all reasons, in order (AggregateError), or with the signal's reason.
 */
export function firstToSucceed<T>(
  tries: readonly ((signal: AbortSignal) => Promise<T>)[],
  { clock, delayMs, discard }: StaggerOptions<T>,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const race = childController(signal);
    const reasons: unknown[] = [];
    let started = 0;
    let running = 0;
    let settled = false;
    let cancel = () => {};

    const finish = (finish: () => void) => {
      settled = true;
      cancel();
      race.abort(new Error('settled'));
      race.dispose();
      finish();
    };
    const startNext = () => {
      cancel();
      const index = started;
      const next = tries[index];
      if (next === undefined) return;
      started += 1;
      running += 1;
      cancel = started === tries.length ? () => {} : timerAfterIo(clock, delayMs, startNext);
      next(race.signal).then(
        (value) => {
          if (settled) discard(value);
          else finish(() => resolve(value));
        },
        (reason: unknown) => {
          running -= 1;
          reasons[index] = reason;
          if (settled) return;
          if (signal.aborted) finish(() => reject(signal.reason as Error));
          else if (started < tries.length) startNext();
          else if (running === 0) finish(() => reject(new AggregateError(reasons)));
        },
      );
    };
    startNext();
  });
}

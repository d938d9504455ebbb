import { abortable, deferred } from '../../lib/async/abort.ts';
import { createBell } from '../../lib/async/listeners.ts';
import type { Clock } from '../../lib/async/clock.ts';
import { sleepUntil, type Subscribe } from '../../lib/async/deadline.ts';

/** What a tunnel's sessions ask before they hold a listener. */
export interface Lease {
  isLent(index: number): boolean;
  /** Waits until this tunnel may have the forward's listener; to be ended by leave() when it has it no more. */
  enter(index: number, signal: AbortSignal): Promise<void>;
  leave(index: number): void;
  /** Calls back when this one is lent; at once where it is. */
  onLent(index: number): Subscribe;
}

/**
 * Listeners that a tunnel lends to the one that is to replace it: two connections cannot have the same one, and the old one goes
 * on serving with all the others, and takes its own back, until the new one is known to work.
 */
export interface Lending extends Lease {
  /** Resolves when none of these forwards is held any more, or when that takes too long. */
  lend(indices: readonly number[]): Promise<void>;
  takeBack(indices: readonly number[]): void;
}

export function createLending(clock: Clock): Lending {
  const lent = new Set<number>();
  const held = new Set<number>();
  const bell = createBell();

  /** Calls back whenever something changes and it is so; at once where it is. */
  const when =
    (isSo: () => boolean): Subscribe =>
    (listener) => {
      if (isSo()) listener();
      return bell.listen(() => {
        if (isSo()) listener();
      });
    };

  return {
    isLent: (index) => lent.has(index),
    enter: async (index, signal) => {
      signal.throwIfAborted();
      while (lent.has(index))
        await until(
          when(() => !lent.has(index)),
          signal,
        );
      held.add(index);
    },
    onLent: (index) => when(() => lent.has(index)),
    leave: (index) => {
      held.delete(index);
      bell.ring();
    },
    lend: async (indices) => {
      for (const index of indices) lent.add(index);
      bell.ring();
      const free = when(() => !indices.some((index) => held.has(index)));
      await sleepUntil(clock, LEND_MS, [free], new AbortController().signal);
    },
    takeBack: (indices) => {
      for (const index of indices) lent.delete(index);
      bell.ring();
    },
  };
}

/** A look at a listener takes seconds, and is not cut short. */
const LEND_MS = 10_000;

/** Resolves when it calls back. */
export async function until(subscribe: Subscribe, signal: AbortSignal): Promise<void> {
  const over = deferred<void>();
  const forget = subscribe(over.resolve);
  await abortable(over.promise, signal).finally(forget);
}

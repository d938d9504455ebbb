import { deferred } from '../../lib/async/abort.ts';
import { createBell } from '../../lib/async/listeners.ts';
import type { Clock } from '../../lib/async/clock.ts';

/** What a tunnel's sessions ask before they hold a listener. */
export interface Lease {
  isLent(index: number): boolean;
  /** Waits until this tunnel may have the forward's listener; to be ended by leave() when it has it no more. */
  enter(index: number, signal: AbortSignal): Promise<void>;
  leave(index: number): void;
  /** Calls `listener` when something was lent or taken back; the answer ends that. */
  readonly onChange: (listener: () => void) => () => void;
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

  /** Resolves when it is so, or after `ms`; rejects with the signal. */
  const until = async (isSo: () => boolean, { ms, signal }: { ms?: number; signal?: AbortSignal }): Promise<void> => {
    if (isSo()) return;
    const over = deferred<void>();
    const forget = bell.listen(() => {
      if (isSo()) over.resolve();
    });
    const onAbort = () => over.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const cancel = ms === undefined ? () => {} : clock.timer(ms, () => over.resolve());
    try {
      await over.promise;
    } finally {
      forget();
      cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  };

  return {
    isLent: (index) => lent.has(index),
    enter: async (index, signal) => {
      signal.throwIfAborted();
      while (lent.has(index)) await until(() => !lent.has(index), { signal });
      held.add(index);
    },
    leave: (index) => {
      held.delete(index);
      bell.ring();
    },
    onChange: bell.listen,
    lend: async (indices) => {
      for (const index of indices) lent.add(index);
      bell.ring();
      await until(() => !indices.some((index) => held.has(index)), { ms: LEND_MS });
    },
    takeBack: (indices) => {
      // A bell for nothing would have every listener looked at.
      const own = indices.filter((index) => lent.delete(index));
      if (own.length > 0) bell.ring();
    },
  };
}

/** A look at a listener takes seconds, and is not cut short. */
const LEND_MS = 10_000;

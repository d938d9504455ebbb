import type { Clock } from '../lib/async/clock.ts';
import type { ForwardSpec } from '../model/spec.ts';
import type { Loop } from './loop.ts';
import { conflicting } from './conflicts.ts';

/** Listeners that pass from the predecessors of a tunnel to their replacement. */
export type Handover = NonNullable<ReturnType<typeof startHandover>>;

/**
 * Suspends the listeners of the predecessors that `next` wants as well; null where there are none. After TRIAL_MS it is cancelled by
 * itself: a replacement that does not work takes no listener away for longer.
 */
export function startHandover(next: Loop, predecessors: readonly Loop[], server: 'same' | 'any', clock: Clock) {
  const suspended = predecessors
    .map((predecessor) => ({
      predecessor,
      indices: conflicting(predecessor.spec, next.spec, server).filter((index) =>
        canBeSuspended(predecessor.spec.forwards[index]!),
      ),
    }))
    .filter(({ indices }) => indices.length > 0);
  if (suspended.length === 0) return null;
  const resume = () => {
    for (const { predecessor, indices } of suspended) predecessor.listeners.resume(indices);
  };
  const closed = suspended.map(({ predecessor, indices }) => predecessor.listeners.suspend(indices));
  const cancelTimer = clock.timer(TRIAL_MS, resume);
  return {
    /** Resolves when the predecessors have closed them. */
    ready: Promise.all(closed),
    /** The predecessors open them again. */
    cancel: (): void => {
      cancelTimer();
      resume();
    },
    /** The replacement keeps them. */
    complete: cancelTimer,
  };
}

/**
 * sshd leaves the file of a Unix socket behind. Without StreamLocalBindUnlink the listener could not be had again; with it, no handover
 * is needed.
 */
function canBeSuspended({ kind, listen }: ForwardSpec): boolean {
  return kind !== 'remote' || listen.type !== 'unix';
}

/** Enough to request a listener and to verify it twice. */
const TRIAL_MS = 15_000;

import { createEmitter } from '../../lib/async/emitter.ts';
import { type Clock, sleepUntil, type Subscribe, untilCalled } from '../../lib/async/clock.ts';
import type { Environment } from '../../lib/log/environment.ts';

/** Which listeners a tunnel's session may hold. */
export interface ListenerAccess {
  /** Resolves when other tunnels have released the listeners that this one needs; called before the session requests any. */
  ready(): Promise<void>;
  isSuspended(index: number): boolean;
  /** Resolves when the forward's listener is not suspended; it is held until release(). */
  acquire(index: number, signal: AbortSignal): Promise<void>;
  release(index: number): void;
  /** Calls back when this listener is suspended; at once where it is. */
  onSuspended(index: number): Subscribe;
}

/** What whoever keeps a tunnel's listeners needs, on either side. */
export interface ListenersOptions extends Pick<Environment, 'clock' | 'random'> {
  /** A suspended listener is closed or cancelled, and had again when it is resumed. */
  readonly access: ListenerAccess;
  /** The listener was given up for a replacement of this tunnel. */
  onSuspended(index: number): void;
  /** The listener had a first answer. */
  onAnswered(index: number): void;
}

/**
 * Listeners that a tunnel closes for its replacement, because two connections cannot have the same one. The tunnel serves all others
 * meanwhile, and opens the suspended ones again where the replacement fails.
 */
export interface SuspendableListeners extends ListenerAccess {
  /** Resolves when none of these listeners is held any more, or after SUSPEND_MS. */
  suspend(indices: readonly number[]): Promise<void>;
  resume(indices: readonly number[]): void;
}

export function createSuspendableListeners(
  clock: Clock,
  ready: () => Promise<void> = () => Promise.resolve(),
): SuspendableListeners {
  const suspended = new Set<number>();
  const held = new Set<number>();
  const changed = createEmitter();

  /** Calls back at each change after which the condition holds; at once where it holds. */
  const when =
    (holds: () => boolean): Subscribe =>
    (listener) => {
      if (holds()) listener();
      return changed.subscribe(() => {
        if (holds()) listener();
      });
    };

  return {
    ready,
    isSuspended: (index) => suspended.has(index),
    acquire: async (index, signal) => {
      signal.throwIfAborted();
      while (suspended.has(index)) await untilCalled([when(() => !suspended.has(index))], signal);
      held.add(index);
    },
    onSuspended: (index) => when(() => suspended.has(index)),
    release: (index) => {
      held.delete(index);
      changed.emit();
    },
    suspend: async (indices) => {
      for (const index of indices) suspended.add(index);
      changed.emit();
      const free = when(() => !indices.some((index) => held.has(index)));
      await sleepUntil(clock, SUSPEND_MS, [free]);
    },
    resume: (indices) => {
      for (const index of indices) suspended.delete(index);
      changed.emit();
    },
  };
}

/** The verification of a listener takes seconds, and is not interrupted. */
const SUSPEND_MS = 10_000;

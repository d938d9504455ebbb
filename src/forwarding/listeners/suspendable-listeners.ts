import { createEmitter } from '../../lib/async/emitter.ts';
import { type Clock, sleepUntil, type Subscribe, untilCalled } from '../../lib/async/clock.ts';
import type { Environment } from '../../lib/log/environment.ts';

/** Which listeners a tunnel's session may hold. */
export type ListenerAccess = Omit<SuspendableListeners, 'suspend' | 'resume'>;

/** What the keepers of a tunnel's listeners need, those of the server's and those of this device's. */
export interface ListenersOptions extends Pick<Environment, 'clock' | 'random'> {
  /** A suspended listener is closed or cancelled, and had again when it is resumed. */
  readonly access: ListenerAccess;
  /** The listener was given up for a replacement of this tunnel. */
  onSuspended(index: number): void;
  /** The listener had an answer: the first, or a later one. */
  onAnswered(index: number): void;
}

export type SuspendableListeners = ReturnType<typeof createSuspendableListeners>;

/**
 * Listeners that a tunnel closes for its replacement, because two connections cannot have the same one. The tunnel serves all others
 * meanwhile, and opens the suspended ones again where the replacement fails.
 */
export function createSuspendableListeners(clock: Clock, ready: () => Promise<void> = () => Promise.resolve()) {
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
    /** Resolves when other tunnels have released the listeners that this one needs; called before the session requests any. */
    ready,
    isSuspended: (index: number): boolean => suspended.has(index),
    /** Resolves when the forward's listener is not suspended; it is held until release(). */
    acquire: async (index: number, signal: AbortSignal): Promise<void> => {
      signal.throwIfAborted();
      while (suspended.has(index)) await untilCalled([when(() => !suspended.has(index))], signal);
      held.add(index);
    },
    /** Calls back when this listener is suspended; at once where it is. */
    onSuspended: (index: number): Subscribe => when(() => suspended.has(index)),
    release: (index: number): void => {
      held.delete(index);
      changed.emit();
    },
    /** Resolves when none of these listeners is held any more, or after SUSPEND_MS. */
    suspend: async (indices: readonly number[]): Promise<void> => {
      for (const index of indices) suspended.add(index);
      changed.emit();
      const free = when(() => !indices.some((index) => held.has(index)));
      await sleepUntil(clock, SUSPEND_MS, [free]);
    },
    resume: (indices: readonly number[]): void => {
      for (const index of indices) suspended.delete(index);
      changed.emit();
    },
  };
}

/** The verification of a listener takes seconds, and is not interrupted. */
const SUSPEND_MS = 10_000;

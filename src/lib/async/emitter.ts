/** An event without a value that happens again and again. */
export interface Emitter {
  emit(): void;
  /** Calls `listener` at each emit(); the result unsubscribes. */
  readonly subscribe: (listener: () => void) => () => void;
}

export function createEmitter(): Emitter {
  const listeners = new Set<() => void>();
  return {
    emit: () => {
      for (const listener of listeners) listener();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

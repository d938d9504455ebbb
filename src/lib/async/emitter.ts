/** An event that happens again and again; `Values` is what comes with it, mostly nothing. */
export interface Emitter<Values extends readonly unknown[] = []> {
  emit(...values: Values): void;
  /** Calls `listener` at each emit(); the result unsubscribes. */
  readonly subscribe: (listener: (...values: Values) => void) => () => void;
}

export function createEmitter<Values extends readonly unknown[] = []>(): Emitter<Values> {
  const listeners = new Set<(...values: Values) => void>();
  return {
    emit: (...values) => {
      for (const listener of listeners) listener(...values);
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Something that happens again and again, and those who want to know at once. */
export interface Bell {
  ring(): void;
  /** Calls `listener` at each ring; the answer ends that. */
  readonly listen: (listener: () => void) => () => void;
}

export function createBell(): Bell {
  const listeners = new Set<() => void>();
  return {
    ring: () => {
      for (const listener of listeners) listener();
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

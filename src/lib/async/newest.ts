/** Work of which only the newest counts. */
export interface Newest<T> {
  /** Has it done at once, or after what is being done; what came in between and had not begun is dropped for it. */
  put(item: T): void;
  /** Resolves when nothing is being done or waits. Never rejects. */
  idle(): Promise<void>;
}

/** Does one thing at a time; at most one more waits. `work` answers for its own failures. */
export function newest<T>(work: (item: T) => Promise<void>): Newest<T> {
  let next: { readonly item: T } | null = null;
  let running: Promise<void> | null = null;
  const run = async () => {
    for (let turn = next; turn !== null; turn = next) {
      next = null;
      await work(turn.item).catch(() => {});
    }
    running = null;
  };
  const idle = async (): Promise<void> => {
    if (running === null) return;
    await running;
    // More may have come since.
    await idle();
  };
  return {
    put: (item) => {
      next = { item };
      running ??= run();
    },
    idle,
  };
}

/** A queue of one: only the newest item counts. */
export interface Newest<T> {
  /** Starts work on the item, at once or after the running work; an item that waits is replaced. */
  put(item: T): void;
  /** Resolves when nothing runs or waits. Never rejects. */
  idle(): Promise<void>;
}

/** Works on one item at a time. `work` handles its own failures. */
export function newest<T>(work: (item: T) => Promise<void>): Newest<T> {
  let next: { readonly item: T } | null = null;
  let running: Promise<void> | null = null;
  const run = async () => {
    for (let one = next; one !== null; one = next) {
      next = null;
      // `work` has reported its failure; the next item is to be worked on all the same.
      await work(one.item).catch(() => {});
    }
    running = null;
  };
  const idle = async (): Promise<void> => {
    if (running === null) return;
    await running;
    // Another item may have come since.
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

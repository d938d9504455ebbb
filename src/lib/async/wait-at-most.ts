import type { Clock } from './clock.ts';

/** Waits for the work to settle, but no longer than `ms` milliseconds. Never rejects. */
export function waitAtMost(work: Promise<unknown>, ms: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.timer(ms, resolve);
    void work
      .catch(() => {})
      .finally(() => {
        cancel();
        resolve();
      });
  });
}

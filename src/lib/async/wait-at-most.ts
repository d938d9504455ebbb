import { type Clock, sleepUntil } from './clock.ts';

/** Waits for the work to settle, but no longer than `ms` milliseconds. Never rejects. */
export function waitAtMost(work: Promise<unknown>, ms: number, clock: Clock): Promise<void> {
  const settled = (wake: () => void) => {
    void work.then(wake, wake);
    return () => {};
  };
  return sleepUntil(clock, ms, [settled]);
}

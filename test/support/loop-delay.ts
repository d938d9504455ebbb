import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Watches this process's event loop from now on; the answer says for how many milliseconds it stood still at the longest. */
export function watchLoop(): () => number {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  return () => {
    delays.disable();
    // What is measured is the time between two looks.
    return Math.max(0, Math.round(delays.max / 1e6 - RESOLUTION_MS));
  };
}

const RESOLUTION_MS = 5;

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

/** Counts from now on how often the event loop goes round, which work that holds it keeps it from; the answer ends that. */
export function countTurns(): () => number {
  let turns = 0;
  let next = setImmediate(function turn() {
    turns += 1;
    next = setImmediate(turn);
  });
  return () => {
    clearImmediate(next);
    return turns;
  };
}

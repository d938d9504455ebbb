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
  const stop = onEachTurn(() => (turns += 1));
  return () => {
    stop();
    return turns;
  };
}

/**
 * Measures from now on how much of the processor's time this process takes, in milliseconds, and how much of it passes at the longest
 * without the event loop going round once: work in another thread does not hold it. Other processes do not matter.
 */
export function watchTurns(): () => { readonly total: number; readonly longest: number } {
  const spent = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const first = spent();
  let last = first;
  let longest = 0;
  const look = () => {
    const now = spent();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const stop = onEachTurn(look);
  return () => {
    stop();
    look();
    return { total: last - first, longest };
  };
}

function onEachTurn(look: () => void): () => void {
  let next = setImmediate(function turn() {
    look();
    next = setImmediate(turn);
  });
  return () => clearImmediate(next);
}

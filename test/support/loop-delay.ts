import { readFileSync } from 'node:fs';
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
export function countTicks(): () => number {
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

/**
 * Measures from now on how much of the processor's time this process takes, in milliseconds, and how much its main thread takes at the
 * longest without the event loop going round once: work in another thread does not hold it. Other processes do not matter.
 */
export function watchTurns(): () => { readonly total: number; readonly longest: number } {
  const first = spentByAllThreads();
  let last = spentByMainThread();
  let longest = 0;
  const look = () => {
    const now = spentByMainThread();
    longest = Math.max(longest, now - last);
    last = now;
  };
  // It may wait for what there is to do, and the process may end, which both would not with one that counts.
  let next = setImmediate(function turn() {
    look();
    next = setImmediate(turn).unref();
  }).unref();
  return () => {
    clearImmediate(next);
    look();
    return { total: spentByAllThreads() - first, longest };
  };
}

function spentByAllThreads(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The thread whose ID is that of the process (proc_pid_schedstat(5): nanoseconds on the processor). */
function spentByMainThread(): number {
  const [nanoseconds] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ');
  return Number(nanoseconds) / 1e6;
}

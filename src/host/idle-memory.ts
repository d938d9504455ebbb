import { loadAddon } from '../lib/addon.ts';

/** What this process uses. */
export interface MemoryDeps {
  /** Monotonic, in milliseconds. */
  now(): number;
  /** Processor time of all its threads, in milliseconds. */
  cpuMs(): number;
  /** Resident memory (RSS), in bytes. */
  residentBytes(): number;
  /** Gives memory back to the system (packaging/native/memory.h). */
  release(): void;
}

/**
 * Gives memory back that a start or a load has left. Returns what is to be called now and then, best where the process is awake anyway; null
 * where there is no addon. What comes back into memory after a release, because an idle process uses it, is not given back again.
 */
export function keepIdleMemorySmall(deps: MemoryDeps | null = thisProcess()): (() => void) | null {
  if (deps === null) return null;
  const { now, cpuMs, residentBytes, release } = deps;
  let last = { at: now(), cpu: cpuMs() };
  /** What the process had when it was idle for a while after a release; null before. */
  let settled: number | null = null;
  let released = false;
  return () => {
    const next = { at: now(), cpu: cpuMs() };
    const passed = next.at - last.at;
    if (passed < SHORTEST_MS) return;
    const busy = next.cpu - last.cpu > passed * BUSY_SHARE;
    last = next;
    if (busy) {
      // What the process has at the next look is not idle memory.
      released = false;
      return;
    }
    const resident = residentBytes();
    if (released) settled = resident;
    else if (settled !== null && resident < settled + WORTH_BYTES) return;
    released = !released;
    if (released) release();
  };
}

/** A shorter time says nothing about idleness. */
const SHORTEST_MS = 10_000;
/** An idle daemon uses a thousandth of a processor, and on the smallest of computers a hundredth. */
const BUSY_SHARE = 0.05;
const WORTH_BYTES = 4 * 1024 * 1024;

function thisProcess(): MemoryDeps | null {
  const { addon } = loadAddon();
  if (addon === null) return null;
  return {
    now: () => performance.now(),
    cpuMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    residentBytes: () => process.memoryUsage.rss(),
    release: () => addon.releaseMemory(),
  };
}

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadAddon } from '../lib/addon.ts';
import { readIfReadable } from '../lib/files/read-file.ts';

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

/** Null where there is no addon. */
export function thisProcess(): MemoryDeps | null {
  const { addon } = loadAddon();
  if (addon === null) return null;
  /** Known from the first release on: it stays the same process. */
  let ours: boolean | null = null;
  let collect: (() => void) | null = null;
  return {
    now: () => performance.now(),
    cpuMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    residentBytes: () => process.memoryUsage.rss(),
    release: () => {
      // What visitors left is outside of V8's heap, and an idle process allocates nothing that would have V8 collect it.
      collect ??= garbageCollector();
      collect();
      ours ??= describesThisProcess(readIfReadable('/proc/self/maps'), readIfReadable('/proc/self/smaps'));
      if (ours) addon.releaseMemory();
    },
  };
}

/** V8's, of all garbage. Not by an option of the start (packaging/build.mjs), which would take longer. */
function garbageCollector(): () => void {
  const { gc } = globalThis;
  if (gc !== undefined) return () => gc(); // of a unit that an older version installed
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('globalThis.gc') as (() => void) | undefined;
  // As before: what is compiled already is for those flags (v8.cachedDataVersionTag()).
  setFlagsFromString('--no-expose-gc');
  return collect ?? (() => {});
}

/**
 * Whether proc_pid_smaps(5), by which memory is given back, is about this process. Qemu's user mode shows that of its own process, where the
 * program's addresses are others, or one that counts nothing: pages would be lost that no file has.
 */
export function describesThisProcess(maps: string | null, smaps: string | null): boolean {
  if (maps === null || smaps === null) return false;
  const firstOf = (lines: string) => /^[0-9a-f]+-[0-9a-f]+ \S+ /.exec(lines)?.[0];
  return firstOf(maps) !== undefined && firstOf(maps) === firstOf(smaps) && /^Anonymous: +[1-9]/m.test(smaps);
}

import { readdirSync, readFileSync } from 'node:fs';
import { errorCode } from '../../src/lib/text.ts';

/** The living children of a process. Linux only: macOS has no /proc. */
export function childrenOf(pid: number): number[] {
  return childrenAmong(processes(), pid);
}

/** The living children of a process, their children, and so on. */
export function descendantsOf(pid: number): number[] {
  const all = processes();
  const below = (parent: number): number[] => childrenAmong(all, parent).flatMap((child) => [child, ...below(child)]);
  return below(pid);
}

type Processes = ReadonlyMap<number, { readonly parent: number; readonly group: number; readonly state: string }>;

function childrenAmong(all: Processes, pid: number): number[] {
  return [...all].filter(([, { parent, state }]) => parent === pid && state !== 'Z').map(([child]) => child);
}

/** Whether a process of this group (setpgid(2)) lives; one that has ended may wait for a parent that never asks. */
export function groupLives(group: number): boolean {
  return [...processes().values()].some((one) => one.group === group && one.state !== 'Z');
}

/** Signals processes of which some may be gone by now. */
export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (errorCode(error) !== 'ESRCH') throw error;
    }
  }
}

/** proc(5), /proc/pid/stat: `pid (name) state ppid pgrp ...`, where the name may hold spaces and brackets. */
function processes(): Processes {
  const found = new Map<number, { parent: number; group: number; state: string }>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readStat(entry);
    const [state, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state !== undefined && parent !== undefined)
      found.set(Number(entry), { parent: Number(parent), group: Number(group), state });
  }
  return found;
}

function readStat(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return ''; // it ended while we were looking
  }
}

import { readdirSync, readFileSync } from 'node:fs';
import { errorCode } from '../../src/lib/text.ts';

/** The living children of a process. Linux only: macOS has no /proc. */
export function childrenOf(pid: number): number[] {
  return listedChildren(pid).filter((child) => isAlive(statOf(child)));
}

/** The living children of a process, their children, and so on. */
export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Whether a process of this group (setpgid(2)) lives; one that has ended may wait for a parent that never asks. */
export function groupLives(group: number): boolean {
  const all = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return all.map((entry) => statOf(Number(entry))).some((stat) => stat.group === group && isAlive(stat));
}

/** Whether a process lives; one that does no more has closed all that it had open. */
export function lives(pid: number): boolean {
  return isAlive(statOf(pid));
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

/**
 * By the lists that the kernel has of the children of each thread, since a look at all processes takes it milliseconds. One that is made while
 * a child ends may lack another one (proc(5)): what was read twice alike is whole.
 */
function listedChildren(pid: number): number[] {
  for (let before: string | null = null; ;) {
    const now = threadsOf(pid)
      .map((thread) => readProc(`${pid}/task/${thread}/children`))
      .join('');
    if (now === before) return now.split(' ').filter(Boolean).map(Number);
    before = now;
  }
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // it has ended
  }
}

interface Stat {
  readonly state: string | undefined;
  readonly group: number;
}

/** proc(5), /proc/pid/stat: `pid (name) state ppid pgrp ...`, where the name may hold spaces and brackets. */
function statOf(pid: number): Stat {
  const stat = readProc(`${pid}/stat`);
  const [state, _parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state, group: Number(group) };
}

function isAlive({ state }: Stat): boolean {
  return state !== undefined && !['', 'Z', 'X'].includes(state);
}

function readProc(file: string): string {
  try {
    return readFileSync(`/proc/${file}`, 'utf8');
  } catch {
    return ''; // it ended while we were looking
  }
}

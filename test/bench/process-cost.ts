import { readdirSync, readFileSync } from 'node:fs';

/** Resident memory in MiB (VmRSS of proc_pid_status(5)). */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** How often a process wakes by itself, a second: voluntary context switches of all its threads over `seconds`. */
export async function wakeUpsPerSecond(pid: number, seconds: number): Promise<number> {
  const before = voluntarySwitches(pid);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return (voluntarySwitches(pid) - before) / seconds;
}

function voluntarySwitches(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))
    .map((status) => Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1]))
    .reduce((sum, count) => sum + count, 0);
}

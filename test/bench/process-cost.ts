import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Resident memory in MiB (VmRSS of proc_pid_status(5)). */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** Of it what no other process shares and no file has, in MiB (Private_Dirty of proc_pid_smaps(5)). */
export function privateMiB(pid: number): number {
  const kib = /^Private_Dirty:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** Seconds of processor time of a process, in all its threads (utime and stime of proc_pid_stat(5), in hundredths of a second). */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The same to the nanosecond, of the threads that it has now (schedstat of the kernel's sched-stats.txt). */
export function exactCpuSeconds(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e9)
    .reduce((sum, seconds) => sum + seconds, 0);
}

/** How often a process wakes by itself, a second: voluntary context switches of all its threads over `seconds`. */
export async function wakeUpsPerSecond(pid: number, seconds: number): Promise<number> {
  const before = voluntarySwitches(pid);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return (voluntarySwitches(pid) - before) / seconds;
}

/** Bytes that a process has had written to disks (write_bytes of proc_pid_io(5)). */
export function bytesToDisk(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

/** What a directory holds, each with its time of change: on a tmpfs, too, where no bytes are counted, this tells of a write. */
export function stateOf(directory: string): string {
  return ['.', ...readdirSync(directory, { recursive: true, encoding: 'utf8' })]
    .map((name) => `${name} ${statSync(join(directory, name)).mtimeMs}`)
    .join('\n');
}

function voluntarySwitches(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))
    .map((status) => Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1]))
    .reduce((sum, count) => sum + count, 0);
}

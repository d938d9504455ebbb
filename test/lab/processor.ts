import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The processor time of processes and of all that they start, those that have ended included. */
export interface ProcessorAccount {
  add(pid: number): void;
  seconds(): number;
  destroy(): void;
}

/**
 * A control group counts to the nanosecond, where proc(5) counts processes that end within a tick as nothing. Needs root, and a file system of control
 * groups (cgroups(7)): version 2, or version 1 with cpuacct.
 */
export function createProcessorAccount(name: string): ProcessorAccount {
  const isFirst = existsSync(V1);
  const group = join(isFirst ? V1 : '/sys/fs/cgroup', `tunneld-lab-${process.pid}-${name}`);
  mkdirSync(group);
  const read = (file: string) => readFileSync(join(group, file), 'utf8');
  return {
    add: (pid) => writeFileSync(join(group, 'cgroup.procs'), String(pid)),
    seconds: () =>
      isFirst ? Number(read('cpuacct.usage')) / 1e9 : Number(/^usage_usec (\d+)/m.exec(read('cpu.stat'))?.[1]) / 1e6,
    destroy: () => rmdirSync(group),
  };
}

const V1 = '/sys/fs/cgroup/cpuacct';

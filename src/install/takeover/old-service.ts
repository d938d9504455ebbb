import { readdir, readFile, readlink } from 'node:fs/promises';
import { type Manager, UNIT } from '../systemd/manager.ts';

/** How well the ssh of the old unit works, as far as this machine shows it. */
export interface OldService {
  /** Whether it has a TCP connection; whether its server answers is unknown. */
  readonly connected: boolean;
  /** The ports and paths that its server refused to listen on, from the log of ssh. */
  readonly refused: readonly string[];
}

/** Inspects the processes of the running unit. */
export async function inspectOldService(manager: Manager): Promise<OldService> {
  return await inspectProcesses(await processesOf(manager), manager);
}

/** The same of other processes. */
export async function inspectProcesses(
  pids: readonly number[],
  manager: Pick<Manager, 'journal' | 'run'>,
): Promise<OldService> {
  const connected = await Promise.all(pids.map(isConnected));
  const refused = await Promise.all(pids.map((pid) => refusedTo(pid, manager)));
  return { connected: connected.includes(true), refused: [...new Set(refused.flat())] };
}

async function processesOf({ systemctl, run }: Manager): Promise<readonly number[]> {
  const group = (await run([...systemctl, 'show', UNIT, '--property=ControlGroup', '--value'])).stdout.trim();
  if (group === '') return [];
  for (const root of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd']) {
    const text = await readFile(`${root}${group}/cgroup.procs`, 'utf8').catch(() => null);
    if (text !== null) return text.split('\n').filter(Boolean).map(Number);
  }
  return [];
}

/** proc(5): of an open connection the fourth column is 01, and the tenth its inode. */
async function isConnected(pid: number): Promise<boolean> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8').catch(() => '')),
  );
  const open = new Set(
    tables
      .flatMap((table) => table.split('\n').slice(1))
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === '01')
      .map((columns) => `socket:[${columns[9]}]`),
  );
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
  return targets.some((target) => open.has(target));
}

/** ssh logs refusals when it connects (ssh_confirm_remote_forward() in ssh.c); each ssh that autossh starts is a new process. */
async function refusedTo(pid: number, { journal, run }: Pick<Manager, 'journal' | 'run'>): Promise<readonly string[]> {
  const { stdout } = await run([...journal, `_PID=${pid}`, '--boot', '--output=cat', '--no-pager', '--quiet']);
  return [...stdout.matchAll(/remote port forwarding failed for listen (?:port|path) (\S+)/g)].map(
    ([, what = '']) => what,
  );
}

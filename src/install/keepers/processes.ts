import { basename, resolve } from 'node:path';
import { NotUnderstood } from '../takeover/not-understood.ts';
import type { OldCommand } from '../takeover/old-unit.ts';
import type { OldPassword } from '../takeover/ssh-command.ts';
import { isTunnel, type Keeper, signatureOf } from './keeper.ts';
import type { OldMachine, OldProcess } from './machine.ts';

/** The ssh and autossh processes that nothing else accounts for. `others` are the keepers found before. */
export function keepersOfProcesses(machine: OldMachine, others: readonly Keeper[]): readonly Keeper[] {
  const units = new Set(others.flatMap(({ hold }) => (hold.type === 'unit' ? [hold.unit] : [])));
  const known = new Set(others.flatMap(({ commands }) => commands.map(signatureOf)));
  return outermost(machine.processes.filter(isSsh), machine)
    .filter((process) => isLeftAlone(process, machine) && !unitsOf(process).some((unit) => units.has(unit)))
    .flatMap((process) => {
      const found = readProcess(process, machine);
      const isHidden = typeof found === 'string';
      const command = isHidden ? asCommand(process, machine, null) : found;
      if (!isTunnel(command) || known.has(signatureOf(command))) return [];
      const hold = { type: 'process', pid: process.pid } as const;
      const about = { name: `process ${process.pid}`, file: null, enabled: false, running: true, hold };
      return [isHidden ? { ...about, commands: [], why: found } : { ...about, commands: [command], why: null }];
    });
}

/** What the ssh or autossh processes of a unit run now; none where there are none. Throws NotUnderstood for a hidden password. */
export function commandsOfUnit(unit: string, uid: number | null, machine: OldMachine): readonly OldCommand[] {
  const own = machine.processes.filter((one) => isSsh(one) && isOfUnit(one, unit, uid));
  return outermost(own, machine).map((process) => {
    const found = readProcess(process, machine);
    if (typeof found === 'string') throw new NotUnderstood(found);
    return found;
  });
}

export function isRunning(unit: string, uid: number | null, { processes }: OldMachine): boolean {
  return processes.some((one) => isOfUnit(one, unit, uid));
}

/** `uid` is the owner of the service manager; null for the system's. */
function isOfUnit({ cgroup }: OldProcess, unit: string, uid: number | null): boolean {
  const path = `${cgroup}/`;
  return (
    path.includes(`/${unit}/`) && (uid === null ? !path.includes('/user@') : path.includes(`/user@${uid}.service/`))
  );
}

/** Names of the units whose processes these are. */
export function unitsOf({ cgroup }: OldProcess): readonly string[] {
  return cgroup.split('/').filter((name) => name.endsWith('.service') && !name.startsWith('user@'));
}

/**
 * The processes that keep a command running: itself, what it was started by (autossh, sshpass, a shell with a loop), and all that these
 * have started. None where it does not run.
 */
export function familyOf(command: Pick<OldCommand, 'program' | 'args'>, machine: OldMachine): readonly number[] {
  const signature = signatureOf(command);
  const own = machine.processes.filter((one) => isSsh(one) && signatureOf(asCommand(one, machine, null)) === signature);
  return [...new Set(own.flatMap((one) => descendants(topOf(one, machine), machine)))];
}

export function topOf(process: OldProcess, machine: OldMachine): OldProcess {
  const parent = parentOf(process, machine);
  return parent !== null && isWrapper(parent) ? topOf(parent, machine) : process;
}

function isWrapper({ argv: [program = '', ...args] }: OldProcess): boolean {
  const name = basename(program);
  // A shell without arguments is the one at which a person works.
  if (/^(?:ba|da|a|z|k)?sh$/.test(name)) return args.some((word) => word === '-c' || !word.startsWith('-'));
  return /^(?:autossh|sshpass|nohup|setsid|sudo|su|runuser|flock)$/.test(name);
}

function descendants(process: OldProcess, machine: OldMachine): readonly number[] {
  const children = machine.processes.filter(({ parent }) => parent === process.pid);
  return [process.pid, ...children.flatMap((child) => descendants(child, machine))];
}

function parentOf({ parent }: OldProcess, { processes }: OldMachine): OldProcess | null {
  return processes.find(({ pid }) => pid === parent) ?? null;
}

function isSsh({ argv }: OldProcess): boolean {
  return /^(?:auto)?ssh$/.test(basename(argv[0] ?? ''));
}

/** Without the ssh that an autossh runs, or that another ssh runs as its ProxyCommand. */
function outermost(processes: readonly OldProcess[], machine: OldMachine): readonly OldProcess[] {
  const pids = new Set(processes.map(({ pid }) => pid));
  const isInside = (process: OldProcess): boolean => {
    const parent = parentOf(process, machine);
    return parent !== null && (pids.has(parent.pid) || isInside(parent));
  };
  return processes.filter((process) => !isInside(process));
}

/** It outlives its user's session: it has no terminal, or one of tmux or screen. */
function isLeftAlone(process: OldProcess, machine: OldMachine): boolean {
  if (!process.terminal) return true;
  const parent = parentOf(process, machine);
  if (parent === null) return false;
  return (
    /^(?:tmux|screen)$/i.test(basename((parent.argv[0] ?? '').replace(/:.*$/, ''))) || isLeftAlone(parent, machine)
  );
}

/** A text says why it cannot be known. */
function readProcess(process: OldProcess, machine: OldMachine): OldCommand | string {
  const above = parentOf(process, machine);
  if (above === null || basename(above.argv[0] ?? '') !== 'sshpass') return asCommand(process, machine, null);
  const file = /^-f(.*)$/.exec(above.argv.find((word) => word.startsWith('-f')) ?? '');
  const path = file === null ? null : file[1] || above.argv[above.argv.indexOf('-f') + 1];
  const text = above.argv.includes('-e') ? above.environment['SSHPASS'] : undefined;
  if (path) return asCommand(process, machine, { type: 'file', path: resolve(above.directory, path) });
  if (text !== undefined) return asCommand(process, machine, { type: 'text', text });
  return 'sshpass hides its password: put it into a file that only its user can read, and start it with sshpass -f FILE';
}

function asCommand(process: OldProcess, machine: OldMachine, password: OldPassword | null): OldCommand {
  // autossh blanks its own -f.
  const [program = '', ...args] = process.argv.filter((word) => word !== '');
  const account = machine.accounts.find(({ uid }) => uid === process.uid);
  return {
    program: basename(program) === 'autossh' ? 'autossh' : 'ssh',
    args,
    user: account?.name ?? String(process.uid),
    environment: process.environment,
    directory: process.directory,
    password,
    droppedSettings: [],
  };
}

import { escapeControls } from '../../lib/text.ts';
import { NotUnderstood } from '../takeover/not-understood.ts';
import { shellCommands } from '../takeover/shell-script.ts';
import {
  sshCommandsIn,
  sshCommandsOf,
  type SshCommand,
  type Surroundings,
  scriptReader,
} from '../takeover/ssh-command.ts';
import { isTunnel, type Keeper } from './keeper.ts';
import type { OldMachine } from './machine.ts';
import { familyOf } from './processes.ts';
import { orElse } from '../../lib/or-else.ts';

/** The lines of crontabs that start ssh or autossh: of users, /etc/crontab and /etc/cron.d. */
export function keepersOfCron(machine: OldMachine): readonly Keeper[] {
  const own = TABS.flatMap((directory) =>
    machine.names(directory).flatMap((user) => keepersOfTab(`${directory}/${user}`, user, machine)),
  );
  const shared = ['/etc/crontab', ...machine.names('/etc/cron.d').map((name) => `/etc/cron.d/${name}`)];
  return [...own, ...shared.flatMap((file) => keepersOfTab(file, null, machine))];
}

/** Debian's and Red Hat's, and that of macOS; a file has the name of its user. */
const TABS = ['/var/spool/cron/crontabs', '/var/spool/cron', '/usr/lib/cron/tabs'];

/** `owner` is null where each line names its user. crontab(5). */
function keepersOfTab(file: string, owner: string | null, machine: OldMachine): readonly Keeper[] {
  const text = textOf(file, machine);
  if (text === null) return [];
  const variables: Record<string, string> = {};
  return text.split('\n').flatMap((line, index) => {
    const [, name, value = ''] = /^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined) variables[name] = value.replace(/^(['"])(.*)\1$/, '$2');
    const entry = name === undefined && !/^\s*#/.test(line) ? readEntry(line, owner) : null;
    if (entry === null || !/\bssh\b|autossh|\//.test(entry.command)) return [];
    const environment = environmentOf(entry.user, { PATH: '/usr/bin:/bin', SHELL: '/bin/sh', ...variables }, machine);
    const around = surroundings(entry.user, environment, machine);
    return keepersAt(file, { ...entry, environment, lines: [index, index], text: line }, machine, () =>
      sshCommandsOf(entry.command, around),
    );
  });
}

function readEntry(line: string, owner: string | null): { user: string; command: string } | null {
  const [, rest] = /^\s*(?:@\w+|(?:\S+\s+){4}\S+)\s+(.*)$/.exec(line) ?? [];
  if (rest === undefined) return null;
  const [, user = '', command = ''] = owner === null ? (/^(\S+)\s+(.*)$/.exec(rest) ?? []) : [rest, owner, rest];
  // A percent sign ends the command; what follows is its standard input.
  const [own = ''] = /^(?:\\.|[^%])*/.exec(command) ?? [];
  return command === '' ? null : { user, command: own.replaceAll('\\%', '%') };
}

/** The lines of rc.local that start ssh or autossh. */
export function keepersOfBoot(machine: OldMachine): readonly Keeper[] {
  return ['/etc/rc.local', '/etc/rc.d/rc.local'].flatMap((file) => {
    const text = textOf(file, machine);
    if (text === null || !/\bssh\b|autossh|\.sh\b/.test(text)) return [];
    const environment = environmentOf('root', { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, machine);
    const around = surroundings('root', environment, machine);
    try {
      const all = text.split('\n');
      return shellCommands(text, around).flatMap((command) => {
        const { lines, nested } = command;
        const own = all.slice(lines[0], lines[1] + 1).join('\n');
        const started = { user: 'root', command: own, text: own, lines, environment: command.environment };
        return keepersAt(file, started, machine, () => {
          const found = sshCommandsIn(command, around);
          if (nested && found.some(isTunnel))
            throw new NotUnderstood('it stands within a loop or a condition, out of which it cannot be taken');
          return found;
        });
      });
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      if (!/^[^#\n]*\b(?:auto)?ssh\s+-/m.test(text)) return [];
      const hold = { type: 'lines', lines: [0, 0], text: '', user: 'root', command: '', environment: {} } as const;
      return [{ name: file, file, ...unreadable(error), enabled: true, hold }];
    }
  });
}

type Started = Omit<Extract<Keeper['hold'], { type: 'lines' }>, 'type'>;

/** One, or none where nothing of ssh is started there. */
function keepersAt(
  file: string,
  started: Started,
  machine: OldMachine,
  read: () => readonly SshCommand[],
): readonly Keeper[] {
  const name = `${file}:${started.lines[0] + 1}`;
  const about = { name, file, enabled: true, hold: { type: 'lines', ...started } } as const;
  try {
    const found = read().filter(isTunnel);
    if (found.length === 0) return [];
    const commands = found.map((command) => ({ ...command, user: command.user ?? started.user, droppedSettings: [] }));
    const running = commands.some((command) => familyOf(command, machine).length > 0);
    return [{ ...about, commands, why: null, running }];
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return [{ ...about, ...unreadable(error) }];
  }
}

function unreadable({ message }: NotUnderstood) {
  return { commands: [], why: escapeControls(message), running: false };
}

function environmentOf(user: string, variables: Readonly<Record<string, string>>, { accounts }: OldMachine) {
  const home = accounts.find(({ name }) => name === user)?.home ?? '/';
  return { HOME: home, LOGNAME: user, USER: user, ...variables };
}

function surroundings(user: string, environment: Readonly<Record<string, string>>, machine: OldMachine): Surroundings {
  return {
    environment,
    directory: user === 'root' ? '/' : (environment['HOME'] ?? '/'),
    homeOf: (name) => machine.accounts.find((one) => one.name === name)?.home ?? null,
    readText: scriptReader(machine.text),
  };
}

function textOf(file: string, machine: OldMachine): string | null {
  return orElse(() => machine.text(file), null);
}

import { NotUnderstood } from '../takeover/not-understood.ts';
import { oldCommands, type OldCommand, type UnitContext, type UserManager } from '../takeover/old-unit.ts';
import { readUnit } from '../takeover/unit-text.ts';
import { isTunnel, type Keeper } from './keeper.ts';
import type { OldMachine } from './machine.ts';
import { commandsOfUnit, isRunning, unitsOf } from './processes.ts';
import { orElse } from '../../lib/or-else.ts';

/** The units of systemd that run ssh or autossh: of the system, and of its users. */
export function keepersOfUnits(machine: OldMachine): readonly Keeper[] {
  const users = machine.accounts
    .filter(({ home }) => home !== '/' && home.startsWith('/'))
    .map(({ name, uid, home }) => ({ name, uid, home }));
  return [null, ...users].flatMap((user) => keepersOf(user, machine));
}

/** systemd.unit(5), UNIT FILE LOAD PATH; the first directory with a unit counts. */
function directoriesOf(user: UserManager | null): readonly string[] {
  if (user !== null) return [`${user.home}/.config/systemd/user`, `${user.home}/.local/share/systemd/user`];
  const places = ['/etc', '/run', '/usr/local/lib', '/usr/lib', '/lib'].map((place) => `${place}/systemd/system`);
  return [...places.slice(0, 2), '/run/systemd/generator', ...places.slice(2), '/run/systemd/generator.late'];
}

function keepersOf(user: UserManager | null, machine: OldMachine): readonly Keeper[] {
  const directories = directoriesOf(user).filter((path) => machine.names(path).length > 0);
  if (directories.length === 0) return [];
  const wanted = wantedUnits(directories, machine);
  const running = machine.processes.flatMap(unitsOf);
  const names = new Set(
    directories.flatMap((directory) => machine.names(directory)).filter((name) => name.endsWith('.service')),
  );
  const instances = new Set([...wanted, ...running].filter((name) => names.has(templateOf(name) ?? '')));
  const units = [...names].filter((name) => !name.endsWith('@.service') && name !== OURS);
  return [...new Set([...units, ...instances])].flatMap((unit) => {
    const keeper = keeperOf(unit, user, directories, wanted, machine);
    return keeper === null ? [] : [keeper];
  });
}

/** In which a takeover goes on when its terminal is gone: it names autossh, and may have started one again. */
const OURS = 'tunneld-takeover.service';

/** The units that the system starts by itself: links in `*.wants` and `*.requires`, and timers that start them. */
function wantedUnits(directories: readonly string[], machine: OldMachine): ReadonlySet<string> {
  const names = directories.flatMap((directory) =>
    machine
      .names(directory)
      .filter((name) => /\.(?:wants|requires)$/.test(name))
      .flatMap((name) => machine.names(`${directory}/${name}`)),
  );
  return new Set(names.flatMap((name) => [name, name.replace(/\.timer$/, '.service')]));
}

/** `a@.service` of `a@b.service`; null where it is no instance. */
function templateOf(unit: string): string | null {
  const [, prefix] = /^([^@]+@)[^@]+\.service$/.exec(unit) ?? [];
  return prefix === undefined ? null : `${prefix}.service`;
}

function keeperOf(
  unit: string,
  user: UserManager | null,
  directories: readonly string[],
  wanted: ReadonlySet<string>,
  machine: OldMachine,
): Keeper | null {
  const read = readWhole(unit, directories, machine);
  if (read === null) return null;
  const uid = user?.uid ?? null;
  const timer = unit.replace(/\.service$/, '.timer');
  const context: UnitContext = {
    hostname: machine.hostname,
    readText: machine.text,
    homeOf: (name) => machine.accounts.find((one) => one.name === name || String(one.uid) === name)?.home ?? null,
    inherited: machine.inherited,
    unit,
    manager: user,
  };
  const found = oldCommands(read.text, context);
  if (typeof found === 'string' && !mentionsSsh(read.text, machine)) return null;
  const { commands, why } =
    typeof found === 'string' ? fromProcesses(unit, uid, found, machine) : { commands: found, why: null };
  if (why === null && !commands.some(isTunnel)) return null;
  return {
    name: user === null ? unit : `${unit} of ${user.name}`,
    file: read.file,
    commands: commands.filter(isTunnel),
    why,
    enabled: wanted.has(unit),
    running: isRunning(unit, uid, machine),
    hold: { type: 'unit', unit, timer: wanted.has(timer) ? timer : null, user },
  };
}

/** What cannot be read from a unit may be seen at the processes that it runs. */
function fromProcesses(unit: string, uid: number | null, why: string, machine: OldMachine) {
  try {
    const commands: readonly OldCommand[] = commandsOfUnit(unit, uid, machine);
    return { commands, why: commands.length === 0 ? why : null };
  } catch (error) {
    if (error instanceof NotUnderstood) return { commands: [], why: error.message };
    throw error;
  }
}

/** Its file, and the text with all drop-ins, as `systemctl cat` prints it; null where it has no text. */
function readWhole(unit: string, directories: readonly string[], machine: OldMachine) {
  const template = templateOf(unit);
  const [file] = [unit, ...(template === null ? [] : [template])].flatMap((name) =>
    directories
      .filter((directory) => machine.names(directory).includes(name))
      .map((directory) => `${directory}/${name}`),
  );
  const text = file === undefined ? null : readOrNull(file, machine);
  if (file === undefined || text === null || text === '') return null;
  const dropIns = new Map<string, string>();
  // The most specific comes last.
  for (const name of ['service', ...(template === null ? [] : [template]), unit])
    for (const directory of directories.toReversed())
      for (const one of machine.names(`${directory}/${name}.d`).filter((path) => path.endsWith('.conf')))
        dropIns.set(one, `${directory}/${name}.d/${one}`);
  const parts = [...dropIns]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, path]) => readOrNull(path, machine) ?? '');
  return { file, text: [text, ...parts].join('\n') };
}

/** A unit that cannot be read, as a link of another user, is none of ours. */
function readOrNull(path: string, machine: OldMachine): string | null {
  return orElse(() => machine.text(path), null);
}

/** Whether its command, or the script that this is, has to do with ssh as a client. */
function mentionsSsh(text: string, machine: OldMachine): boolean {
  const lines = readUnit(text).get('Service.ExecStart') ?? [];
  return lines.some((line) => {
    if (CLIENT.test(line)) return true;
    const [script] = /\/(?:etc|home|root|opt|srv|usr\/local|var)\/[^\s;"']+/.exec(line) ?? [];
    return script !== undefined && CLIENT.test(readOrNull(script, machine) ?? '');
  });
}

const CLIENT = /(?:^|[\s/"'=;&|(])(?:autossh|sshpass|ssh)(?:\s|$)/m;

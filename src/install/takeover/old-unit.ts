import { errorText, escapeControls } from '../../lib/text.ts';
import type { Account } from '../steps/accounts.ts';
import { readEnvironmentFile } from './environment-file.ts';
import { NotUnderstood } from './not-understood.ts';
import { scriptReader, type SshCommand, sshCommands } from './ssh-command.ts';
import { unsupportedSetting, droppedSettings } from './unit-settings.ts';
import { assignments, readUnit, splitWords } from './unit-text.ts';

/** The ssh or autossh command of a unit. */
export interface OldCommand extends SshCommand {
  /** The user whose home, keys and ssh_config it uses. */
  readonly user: string;
  /** Settings of the unit that the service does not have, as sentences. */
  readonly droppedSettings: readonly string[];
}

/** What the meaning of a unit depends on besides its text. */
export interface UnitContext {
  readonly hostname: string;
  /** The text of an EnvironmentFile=; null where it does not exist. Throws where it cannot be read. */
  readonly readText: (path: string) => string | null;
  readonly homeOf: (user: string) => string | null;
  /** Names of the variables that the service manager gives to all units. */
  readonly inherited: ReadonlySet<string>;
  /** Its name; by default tunnel.service. */
  readonly unit?: string;
  /** Whose service manager runs it; by default the system's. */
  readonly manager?: UserManager | null;
}

export type UserManager = Pick<Account, 'name' | 'uid' | 'home'>;

/** The command of a unit that runs ssh or autossh; a text says why it does not. `text` is the output of `systemctl cat`. */
export function oldCommand(text: string, context: UnitContext): OldCommand | string {
  const found = oldCommands(text, context);
  if (typeof found === 'string') return found;
  const [command, ...more] = found;
  return command === undefined || more.length > 0 ? 'it runs several ssh commands' : command;
}

/** The same of a unit that may run several, with a script. */
export function oldCommands(text: string, context: UnitContext): readonly OldCommand[] | string {
  try {
    return readCommands(readUnit(text), context);
  } catch (error) {
    if (error instanceof NotUnderstood) return escapeControls(error.message);
    throw error;
  }
}

function readCommands(unit: ReadonlyMap<string, readonly string[]>, context: UnitContext): readonly OldCommand[] {
  const all = (key: string) => unit.get(`Service.${key}`) ?? [];
  const last = (key: string) => {
    const value = all(key).at(-1);
    return value === undefined ? null : expandSpecifiers(value, `${key}=${value}`, context);
  };
  const [line, ...more] = all('ExecStart');
  if (line === undefined) throw new NotUnderstood('it has no ExecStart');
  if (more.length > 0) throw new NotUnderstood('it has several ExecStart lines');
  const { manager = null } = context;
  const user = last('User') ?? manager?.name ?? 'root';
  const home = context.homeOf(user) ?? manager?.home ?? '/root';
  const environment = { HOME: home, USER: user, LOGNAME: user, ...environmentOf(all, context) };
  const directory = (last('WorkingDirectory') ?? manager?.home ?? '/').replace(/^-/, '').replace(/^~$/, home);
  const words = execStartWords(line, environment, context);
  const commands = sshCommands(words, { ...context, environment, directory, readText: scriptReader(context.readText) });
  if (commands.length === 0) throw new NotUnderstood(`its command is not just ssh or autossh: ${line}`);
  const unsupported = unsupportedSetting(unit);
  if (unsupported !== null) throw new NotUnderstood(unsupported);
  const dropped = droppedSettings(unit);
  return commands.map((command) => ({ ...command, user: command.user ?? user, droppedSettings: dropped }));
}

/** Environment=, overridden by the files of EnvironmentFile= (systemd.exec(5)). */
function environmentOf(all: (key: string) => readonly string[], context: UnitContext): Record<string, string> {
  const own = all('Environment').flatMap((line) => {
    const words = splitWords(line);
    if (words === null) throw new NotUnderstood(`its Environment cannot be read: ${line}`);
    return words.map((word) => expandSpecifiers(word, `Environment=${line}`, context));
  });
  const fromFiles = all('EnvironmentFile').map((value) => fileEnvironment(value, context));
  return Object.assign(assignments(own), ...fromFiles) as Record<string, string>;
}

function fileEnvironment(value: string, context: UnitContext): Readonly<Record<string, string>> {
  const optional = value.startsWith('-');
  const path = expandSpecifiers(value.replace(/^-/, ''), `EnvironmentFile=${value}`, context);
  if (/[*?[]/.test(path)) throw new NotUnderstood(`its EnvironmentFile names several files: ${value}`);
  let text: string | null;
  try {
    text = context.readText(path);
  } catch (error) {
    throw new NotUnderstood(`its EnvironmentFile ${path} cannot be read: ${errorText(error)}`);
  }
  if (text === null && optional) return {};
  if (text === null) throw new NotUnderstood(`its EnvironmentFile ${path} does not exist`);
  const found = readEnvironmentFile(text);
  if (typeof found === 'string') throw new NotUnderstood(`its EnvironmentFile ${path} cannot be read: ${found}`);
  return found;
}

/** systemd.service(5), COMMAND LINES: prefixes, words, specifiers, variables. */
function execStartWords(
  line: string,
  environment: Readonly<Record<string, string>>,
  context: UnitContext,
): readonly string[] {
  const [, prefixes = '', rest = ''] = /^([-@:+!|]*)\s*(.*)$/s.exec(line) ?? [];
  const words = splitWords(rest);
  if (words === null) throw new NotUnderstood(`its ExecStart has an unclosed quote or an unknown escape: ${line}`);
  if (words.includes(';')) throw new NotUnderstood(`its ExecStart has several commands: ${line}`);
  const expanded = words.flatMap((word) => {
    const text = expandSpecifiers(word, `ExecStart=${line}`, context);
    return prefixes.includes(':') ? [text] : expandVariables(text, environment, context);
  });
  return prefixes.includes('@') ? [expanded[0] ?? '', ...expanded.slice(2)] : expanded;
}

/** A word that is a variable is replaced by the words of its value; within a word only ${NAME} is a variable. */
function expandVariables(
  word: string,
  environment: Readonly<Record<string, string>>,
  { inherited }: UnitContext,
): readonly string[] {
  const valueOf = (name: string) => {
    const value = environment[name];
    if (value === undefined && inherited.has(name))
      throw new NotUnderstood(`its ExecStart uses the variable ${name}, which the unit does not set`);
    return value ?? '';
  };
  const name = /^\$([A-Za-z_]\w*)$/.exec(word)?.[1];
  if (name === undefined)
    return [
      word.replaceAll(/\$\$|\$\{(\w+)\}/g, (_, inner: string | undefined) =>
        inner === undefined ? '$' : valueOf(inner),
      ),
    ];
  const words = valueOf(name).includes('\\') ? null : splitWords(valueOf(name));
  if (words === null) throw new NotUnderstood(`the value of ${name} cannot be split into words: ${valueOf(name)}`);
  return words;
}

/** Expands the specifiers of a service (systemd.unit(5), SPECIFIERS). */
function expandSpecifiers(text: string, where: string, context: UnitContext): string {
  const known = specifiersOf(context);
  return text.replaceAll(/%(.?)/gs, (all, letter: string) => {
    const value = known[letter];
    if (value === undefined) throw new NotUnderstood(`it uses ${all}, which tunneld does not know: ${where}`);
    return value;
  });
}

function specifiersOf({
  hostname,
  unit = 'tunnel.service',
  manager = null,
}: UnitContext): Readonly<Record<string, string>> {
  const whole = unit.replace(/\.service$/, '');
  const [, prefix = whole, instance] = /^([^@]*)@(.*)$/s.exec(whole) ?? [];
  const last = prefix.slice(prefix.lastIndexOf('-') + 1);
  return {
    '%': '%',
    H: hostname,
    n: unit,
    N: whole,
    p: prefix,
    P: unescapeName(prefix),
    j: last,
    J: unescapeName(last),
    ...(instance === undefined ? {} : { i: instance, I: unescapeName(instance), f: `/${unescapeName(instance)}` }),
    ...(manager === null ? SYSTEM : ofUser(manager)),
  };
}

const SYSTEM = { h: '/root', u: 'root', U: '0', t: '/run', S: '/var/lib', C: '/var/cache', L: '/var/log', E: '/etc' };

function ofUser({ name, uid, home }: UserManager): Readonly<Record<string, string>> {
  return { h: home, u: name, U: String(uid), t: `/run/user/${uid}`, C: `${home}/.cache`, E: `${home}/.config` };
}

/** What systemd-escape(1) does, undone. */
function unescapeName(text: string): string {
  return text
    .replaceAll('-', '/')
    .replaceAll(/\\x([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

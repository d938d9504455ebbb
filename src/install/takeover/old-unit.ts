import { basename } from 'node:path';
import { errorText, escapeControls } from '../../lib/text.ts';
import { readEnvironmentFile } from './environment-file.ts';
import { shellWords } from './shell-words.ts';
import { unsupportedSetting, droppedSettings } from './unit-settings.ts';
import { assignments, readUnit, splitWords } from './unit-text.ts';

/** The ssh or autossh command of a unit. */
export interface OldCommand {
  readonly program: 'ssh' | 'autossh';
  readonly args: readonly string[];
  /** The user whose home, keys and ssh_config it uses. */
  readonly user: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
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
}

/** The unit cannot be understood for sure, and is therefore not taken over. */
class NotUnderstood extends Error {}

/** The command of a unit that runs ssh or autossh; a text says why it does not. `text` is the output of `systemctl cat`. */
export function oldCommand(text: string, context: UnitContext): OldCommand | string {
  try {
    return readCommand(readUnit(text), context);
  } catch (error) {
    if (error instanceof NotUnderstood) return escapeControls(error.message);
    throw error;
  }
}

function readCommand(unit: ReadonlyMap<string, readonly string[]>, context: UnitContext): OldCommand {
  const all = (key: string) => unit.get(`Service.${key}`) ?? [];
  const last = (key: string) => {
    const value = all(key).at(-1);
    return value === undefined ? null : expandSpecifiers(value, `${key}=${value}`, context);
  };
  const [line, ...more] = all('ExecStart');
  if (line === undefined) throw new NotUnderstood('it has no ExecStart');
  if (more.length > 0) throw new NotUnderstood('it has several ExecStart lines');
  const user = last('User') ?? 'root';
  const home = context.homeOf(user) ?? '/root';
  const environment = { HOME: home, USER: user, LOGNAME: user, ...environmentOf(all, context) };
  const command = unwrap(execStartWords(line, environment, context), environment);
  if (command === null) throw new NotUnderstood(`its command is not just ssh or autossh: ${line}`);
  const unsupported = unsupportedSetting(unit);
  if (unsupported !== null) throw new NotUnderstood(unsupported);
  const directory = (last('WorkingDirectory') ?? '/').replace(/^-/, '').replace(/^~$/, home);
  return { ...command, user, directory, droppedSettings: droppedSettings(unit) };
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

/** Expands the specifiers of a service of the system (systemd.unit(5), SPECIFIERS). */
function expandSpecifiers(text: string, where: string, { hostname }: UnitContext): string {
  const specifiers: Readonly<Record<string, string>> = {
    '%': '%',
    h: '/root',
    u: 'root',
    U: '0',
    H: hostname,
    n: 'tunnel.service',
    N: 'tunnel',
    p: 'tunnel',
    t: '/run',
    S: '/var/lib',
    C: '/var/cache',
    L: '/var/log',
    E: '/etc',
  };
  return text.replaceAll(/%(.?)/gs, (all, letter: string) => {
    const value = specifiers[letter];
    if (value === undefined) throw new NotUnderstood(`it uses ${all}, which tunneld does not know: ${where}`);
    return value;
  });
}

/** Unwraps shells, `env` and `exec` around the command. */
function unwrap(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Pick<OldCommand, 'program' | 'args' | 'environment'> | null {
  const [first = '', ...rest] = words;
  const name = basename(first);
  if (/^(?:ba|da|a)?sh$/.test(name)) {
    const script = /^-[a-z]*c$/.test(rest[0] ?? '') ? rest[1] : undefined;
    const inner = script === undefined ? null : shellWords(script, environment);
    return inner === null ? null : unwrap(inner, environment);
  }
  if (name === 'env' || name === 'exec') return unwrap(rest, environment);
  const given = assignments([first]);
  if (Object.keys(given).length > 0) return unwrap(rest, { ...environment, ...given });
  return name === 'ssh' || name === 'autossh' ? { program: name, args: rest, environment } : null;
}

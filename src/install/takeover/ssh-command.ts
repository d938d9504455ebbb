import { basename, resolve } from 'node:path';
import { NotUnderstood } from './not-understood.ts';
import { type ShellCommand, shellCommands, type ShellSurroundings } from './shell-script.ts';
import { assignments } from './unit-text.ts';
import { errorText } from '../../lib/text.ts';

/** The ssh or autossh in a command, without what is around it. */
export interface SshCommand {
  readonly program: 'ssh' | 'autossh';
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** The user that `su`, `sudo` and the like change to; null where they do not. */
  readonly user: string | null;
  /** What sshpass types; null without it. */
  readonly password: OldPassword | null;
}

export type OldPassword =
  | { readonly type: 'text'; readonly text: string }
  /** Its first line. */
  | { readonly type: 'file'; readonly path: string };

/** A command, and what its meaning depends on. */
export interface Surroundings extends Omit<ShellSurroundings, 'parameters'> {
  readonly homeOf: (user: string) => string | null;
}

/** Reads what a command runs: what cannot be read is not understood. */
export function scriptReader(readText: Surroundings['readText']): Surroundings['readText'] {
  return (path) => {
    try {
      return readText(path);
    } catch (error) {
      throw new NotUnderstood(`${path}, which it runs, cannot be read: ${errorText(error)}`);
    }
  };
}

/**
 * Each ssh and autossh that a command runs, through shells, scripts, loops, `env`, `su`, `sudo`, sshpass and the like; none where it runs
 * something else. Throws NotUnderstood where it runs ssh, and only running it would show how.
 */
export function sshCommands(words: readonly string[], around: Surroundings): readonly SshCommand[] {
  return unwrap(words, { ...around, user: null, password: null, depth: 0 });
}

/** The same for the text of a script. Whatever it runs besides has to be harmless: waiting, printing, looking. */
export function sshCommandsOf(script: string, around: Surroundings, parameters: readonly string[] = []) {
  return inScript(script, parameters, { ...around, user: null, password: null, depth: 0 });
}

/** The same for one command of a script. */
export function sshCommandsIn(command: ShellCommand, around: Surroundings): readonly SshCommand[] {
  return ofCommand(command, { ...around, user: null, password: null, depth: 0 });
}

interface State extends Surroundings {
  readonly user: string | null;
  readonly password: OldPassword | null;
  readonly depth: number;
}

function inScript(script: string, parameters: readonly string[], state: State): readonly SshCommand[] {
  const commands = shellCommands(script, { ...state, parameters });
  const found: SshCommand[] = [];
  const others: string[] = [];
  for (const command of commands) {
    const own = ofCommand(command, state);
    found.push(...own);
    const [name = ''] = command.words;
    if (own.length === 0 && !HARMLESS.test(basename(name))) others.push(name);
  }
  if (found.length > 0 && others.length > 0)
    throw new NotUnderstood(
      `it runs ${[...new Set(others)].join(', ')} besides, and only running it would show what that does`,
    );
  return found;
}

const HARMLESS =
  /^(?:true|:|false|sleep|usleep|echo|printf|date|logger|test|\[|\[\[|set|shopt|trap|wait|exit|break|continue|ping6?|pgrep|pidof|ps|grep|wc|tee|cat|nc|ip|systemctl|pkill|killall|kill|mkdir|touch|rm|chmod|ulimit|umask|which|type|command|tty|stty|clear|ntpdate|nm-online|jobs|disown|read|pwd|id|whoami|hostname|autossh|ssh|ssh-add|ssh-agent|ssh-keygen|ssh-keyscan)$/;

function ofCommand(command: ShellCommand, state: State): readonly SshCommand[] {
  const { environment, directory, unknown } = command;
  const found = orUnknown(unknown, () => unwrap(command.words, { ...state, environment, directory }));
  if (found.length === 0) return found;
  if (unknown !== null) throw new NotUnderstood(`it uses ${unknown}, which only running it would show`);
  if (command.alternative) throw new NotUnderstood('which ssh it runs depends on a condition');
  return found;
}

/** A word that is not known is the better reason. */
function orUnknown<T>(unknown: string | null, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NotUnderstood) || unknown === null) throw error;
    throw new NotUnderstood(`it uses ${unknown}, which only running it would show`);
  }
}

function unwrap(words: readonly string[], state: State): readonly SshCommand[] {
  if (state.depth > MAX_DEPTH) throw new NotUnderstood('its scripts call one another');
  const inner = { ...state, depth: state.depth + 1 };
  const [first = '', ...rest] = words;
  const given = assignments([first]);
  if (Object.keys(given).length > 0) return unwrap(rest, { ...inner, environment: { ...state.environment, ...given } });
  const name = basename(first);
  const { environment, directory, user, password } = state;
  if (name === 'ssh' || name === 'autossh')
    return [{ program: name, args: rest, environment, directory, user, password }];
  if (/^(?:ba|da|a|z|k)?sh$/.test(name)) return ofShell(rest, inner);
  if (name === 'sshpass') return ofSshpass(rest, inner);
  if (name === 'su') return ofSu(rest, inner);
  if (name === 'runuser' && !rest.some((word) => /^(?:-u|--user)/.test(word))) return ofSu(rest, inner);
  if (name === 'tmux') return ofTmux(rest, inner);
  const prefix = PREFIXES[name];
  if (prefix !== undefined) return ofPrefix(rest, prefix, inner);
  return ofScript(first, rest, inner);
}

const MAX_DEPTH = 12;

/** A program that runs the command behind its own options. */
interface Prefix {
  /** Letters of options with an argument. */
  readonly takes: string;
  /** The option that names a user. */
  readonly user?: string;
  /** How many words come before the command. */
  readonly before?: number;
}

const PREFIXES: Readonly<Record<string, Prefix>> = {
  env: { takes: 'uCS' },
  exec: { takes: 'a' },
  nohup: { takes: '' },
  setsid: { takes: '' },
  time: { takes: 'fo' },
  command: { takes: '' },
  nice: { takes: 'n' },
  ionice: { takes: 'cnp' },
  stdbuf: { takes: 'ioe' },
  unbuffer: { takes: '' },
  flock: { takes: 'wE', before: 1 },
  sudo: { takes: 'ugCghprtT', user: 'u' },
  runuser: { takes: 'ugG', user: 'u' },
  gosu: { takes: '', before: 1 },
  'su-exec': { takes: '', before: 1 },
  screen: { takes: 'Sctes' },
};

function ofPrefix(words: readonly string[], { takes, user, before = 0 }: Prefix, state: State): readonly SshCommand[] {
  const { values, rest } = options(words, takes);
  const shell = words[words.indexOf('-c') + 1];
  // flock FILE -c COMMAND
  if (before === 1 && rest[1] === '-c' && shell !== undefined) return inScript(shell, [], state);
  const named = user === undefined ? undefined : values[user];
  return unwrap(rest.slice(before), named === undefined ? state : asUser(named, state));
}

/** The options before the first word that is none, as getopt(3) reads them. */
function options(words: readonly string[], takes: string) {
  const values: Record<string, string> = {};
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (word === '--') return { values, rest: words.slice(at + 1) };
    if (!/^-./.test(word)) return { values, rest: words.slice(at) };
    const [, long, given] = /^--([a-z-]+)(?:=(.*))?$/.exec(word) ?? [];
    if (long !== undefined) {
      const letter = long[0]!;
      if (given !== undefined) values[letter] = given;
      else if (takes.includes(letter)) values[letter] = words[(at += 1)] ?? '';
      continue;
    }
    for (let index = 1; index < word.length; index += 1) {
      const letter = word[index]!;
      if (!takes.includes(letter)) {
        values[letter] = '';
        continue;
      }
      values[letter] = word.slice(index + 1) || (words[(at += 1)] ?? '');
      break;
    }
  }
  return { values, rest: [] };
}

function asUser(user: string, state: State): State {
  const home = state.homeOf(user);
  const own = home === null ? {} : { HOME: home };
  return { ...state, user, environment: { ...state.environment, USER: user, LOGNAME: user, ...own } };
}

function ofShell(words: readonly string[], state: State): readonly SshCommand[] {
  const at = words.findIndex((word) => !/^[-+](?!-?$)/.test(word) || /^-[a-z]*c$/.test(word));
  const word = words[at];
  if (word === undefined) return [];
  if (/^-[a-z]*c$/.test(word)) return inScript(words[at + 1] ?? '', words.slice(at + 3), state);
  const text = readScript(word, state);
  if (text === null) return [];
  return inScript(text, words.slice(at + 1), state);
}

/** `su [-] [-s SHELL] USER -c COMMAND`, in any order. */
function ofSu(words: readonly string[], state: State): readonly SshCommand[] {
  let command: string | undefined;
  let user: string | undefined;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (/^(?:-[lmp]*c|--command)$/.test(word)) command = words[(at += 1)];
    else if (word.startsWith('--command=')) command = word.slice('--command='.length);
    else if (/^(?:-[sgGw]|--shell|--group)$/.test(word)) at += 1;
    else if (!word.startsWith('-')) user ??= word;
  }
  return command === undefined ? [] : inScript(command, [], asUser(user ?? 'root', state));
}

/** `tmux new-session -d -s NAME COMMAND`: one word is a command of the shell. */
function ofTmux(words: readonly string[], state: State): readonly SshCommand[] {
  const [verb = '', ...more] = options(words, 'LSfTc').rest;
  if (!verb.startsWith('new')) return [];
  const { rest } = options(more, 'sntcxyeFf');
  return rest.length === 1 ? inScript(rest[0]!, [], state) : unwrap(rest, state);
}

/** sshpass(1): the password comes from one of -p, -f and -e. */
function ofSshpass(words: readonly string[], state: State): readonly SshCommand[] {
  const { values, rest } = options(words, 'pfdP');
  const found = unwrap(rest, { ...state, password: passwordOf(values, state) });
  if (found.length > 0 && found[0]!.password === null)
    throw new NotUnderstood('sshpass reads its password from where it cannot be seen');
  return found;
}

function passwordOf(values: Readonly<Record<string, string>>, { environment, directory }: State): OldPassword | null {
  if (values['f'] !== undefined) return { type: 'file', path: resolve(directory, values['f']) };
  const text = values['p'] ?? (values['e'] === undefined ? undefined : values['e'] || environment['SSHPASS']);
  return text === undefined || text === '' ? null : { type: 'text', text };
}

/** A program that is a script for sh; none where it is anything else. */
function ofScript(path: string, parameters: readonly string[], state: State): readonly SshCommand[] {
  if (!path.includes('/') || /^\/(?:usr\/(?:s?bin|lib\w*)|s?bin|lib\w*)\//.test(path)) return [];
  const text = readScript(path, state);
  return text === null || !/^#!.*\b(?:ba|da|a|z|k)?sh\b/.test(text) ? [] : inScript(text, parameters, state);
}

/** Null where there is no such text, or nothing of ssh in it: what it does is then of no interest. */
function readScript(path: string, { readText, directory }: State): string | null {
  const text = readText(resolve(directory, path));
  return text !== null && /\bssh\b|autossh/.test(text) ? text : null;
}

import { parse } from 'yaml';
import { readJump } from '../schema/jump.ts';
import { REFUSED } from '../ssh-config/refused-options.ts';
import { parseOption, type SshOption } from '../ssh-config/read.ts';
import { HONOURED } from '../ssh-config/to-options.ts';
import { SSH_FLAGS } from './flags.ts';
import { BadValue } from '../values/value.ts';

/** A command line of ssh or autossh, taken apart. */
export interface CommandLine {
  /** The host as it was named, or null where none was. */
  readonly destination: string | null;
  /** In the order in which they count: of most keys the first. */
  readonly options: readonly SshOption[];
  /** Keys of a tunnel that ssh does not have, given by -o, as they were written. */
  readonly own: Readonly<Record<string, unknown>>;
  /** -F. */
  readonly configFile: string | null;
  /** The number of -v, or -1 for -q. */
  readonly verbosity: number;
  /** What is worth saying although nothing is wrong. */
  readonly notes: readonly string[];
  readonly problems: readonly ArgumentProblem[];
}

/** What is wrong with an argument. */
interface ArgumentProblem {
  readonly argument: string;
  readonly message: string;
}

/**
 * Takes the arguments of ssh(1) or autossh(1) apart as their getopt(3) does: options clustered or not, before and after the
 * destination. `ownKeys` are the keys that -o takes besides those of ssh_config(5).
 */
export function parseCommandLine(argv: readonly string[], ownKeys: readonly string[]): CommandLine {
  const overrides: SshOption[] = [];
  const options: SshOption[] = [];
  const own: Record<string, unknown> = {};
  const notes: string[] = [];
  const problems: ArgumentProblem[] = [];
  let destination: string | null = null;
  let configFile: string | null = null;
  let verbosity = 0;
  const rest = [...argv];

  while (rest.length > 0) {
    const argument = rest.shift()!;
    if (argument === '--') {
      if (destination === null) takeDestination(rest.shift() ?? '');
      if (rest.length > 0) takeCommand(rest);
      break;
    }
    if (argument.startsWith('-') && argument.length > 1) takeCluster(argument);
    else if (destination === null) takeDestination(argument);
    else {
      takeCommand([argument, ...rest]);
      break;
    }
  }
  return { destination, options: [...overrides, ...options], own, configFile, verbosity, notes, problems };

  function takeCommand(words: readonly string[]): void {
    notes.push(`the command "${words.join(' ')}" is not run: tunneld keeps the tunnel up by itself`);
  }

  function takeCluster(argument: string): void {
    if (argument.startsWith('--')) {
      problems.push({ argument, message: 'is not an option of tunneld run' });
      return;
    }
    for (let index = 1; index < argument.length; index += 1) {
      const letter = argument[index]!;
      const flag = SSH_FLAGS[letter];
      if (flag === undefined) {
        problems.push({ argument: `-${letter}`, message: 'is not an option of ssh' });
        return;
      }
      const attached = argument.slice(index + 1);
      if (letter === 'M' && takeMonitor(attached)) return;
      if (!flag.takesArgument) {
        take(letter, null);
        continue;
      }
      const value = attached === '' ? rest.shift() : attached;
      if (value === undefined) problems.push({ argument: `-${letter}`, message: 'needs an argument' });
      else take(letter, value);
      return;
    }
  }

  /** autossh's -M takes a port, or a port and another for an echo service; ssh's takes nothing. */
  function takeMonitor(attached: string): boolean {
    const isPort = (text: string | undefined) => text !== undefined && /^\d+(?::\d+)?$/.test(text);
    if (attached !== '' && !isPort(attached)) return false;
    if (attached === '' && !isPort(rest[0])) return false;
    if (attached === '') rest.shift();
    notes.push('-M of autossh has no effect: tunneld watches the connection itself and needs no ports for it');
    return true;
  }

  function take(letter: string, value: string | null): void {
    const { use } = SSH_FLAGS[letter]!;
    const argument = value === null ? `-${letter}` : `-${letter} ${value.trim()}`;
    const origin = { file: argument, line: 0, column: 0 };
    switch (use.type) {
      case 'option': {
        const option = {
          key: use.key,
          args: [use.value ?? (use.key === 'identityfile' ? value! : value!.trim())],
          origin,
        };
        if (letter === 'J' && options.some(({ key }) => key === 'proxyjump')) {
          problems.push({ argument, message: 'only one -J is possible: write several servers with commas' });
        }
        if (use.first) overrides.unshift(option);
        else options.push(option);
        return;
      }
      case 'own':
        takeOwn(use.what, value ?? '', argument);
        return;
      case 'idle':
        notes.push(`-${letter} has no effect: ${use.why}`);
        return;
      case 'refused':
        problems.push({ argument: `-${letter}`, message: `cannot be used: ${use.why}` });
        return;
      case 'implied':
        return;
    }
  }

  function takeOwn(what: 'config' | 'option' | 'verbose' | 'quiet' | 'monitor', value: string, argument: string): void {
    if (what === 'config') configFile = value;
    else if (what === 'quiet') verbosity = -1;
    else if (what === 'verbose') verbosity = Math.max(0, verbosity) + 1;
    else if (what === 'monitor') notes.push('-M has no effect: tunneld has a connection of its own and shares none');
    else takeOption(value.trim(), argument);
  }

  function takeOption(text: string, argument: string): void {
    const [, word = '', value = ''] = /^([A-Za-z]+)(?:\s*=\s*|\s+)(.*)$/s.exec(text) ?? [];
    const ownKey = ownKeys.find((key) => key.toLowerCase() === word.toLowerCase());
    if (ownKey !== undefined) {
      own[ownKey] ??= ownKey === 'reconnect' ? parseFlow(value) : value;
      return;
    }
    const parsed = parseOption(text, { file: argument, line: 0, column: 0 });
    if ('problem' in parsed) {
      problems.push({ argument, message: parsed.problem });
      return;
    }
    if (!HONOURED.has(parsed.option.key) && !REFUSED.has(parsed.option.key))
      notes.push(`${argument} has no effect on a tunnel`);
    options.push(parsed.option);
  }

  function takeDestination(text: string): void {
    if (text === '') problems.push({ argument: "''", message: 'names no server: the argument is empty' });
    const isUri = text.startsWith('ssh://');
    try {
      const at = text.lastIndexOf('@');
      const { host, user, port } = isUri
        ? readJump(text)
        : { host: text.slice(at + 1), user: at < 0 ? undefined : text.slice(0, at), port: undefined };
      destination = host;
      const origin = { file: text, line: 0, column: 0 };
      if (user !== undefined) options.push({ key: 'user', args: [user], origin });
      if (port !== undefined) options.push({ key: 'port', args: [String(port)], origin });
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      destination = '';
      problems.push({ argument: text, message: error.message });
    }
  }
}

/** `{ min: 1, max: 30 }` as in a configuration. */
function parseFlow(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return text;
  }
}

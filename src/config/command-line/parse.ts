import { parse } from 'yaml';
import { readJump } from '../schema/jump.ts';
import { REFUSED } from '../ssh-config/refused-options.ts';
import { parseOption } from '../ssh-config/line.ts';
import { HONOURED } from '../ssh-config/to-options.ts';
import type { Origin, SshOption } from '../ssh-config/option.ts';
import { SSH_FLAGS, type SshFlag } from './flags.ts';
import { BadValue } from '../values/value.ts';
import { orElse } from '../../lib/or-else.ts';

/** A parsed command line of ssh or autossh. */
export interface CommandLine {
  /** The destination as it was written; null where there is none. */
  readonly destination: string | null;
  /** In order of precedence: of most keys the first counts. */
  readonly options: readonly SshOption[];
  /** Keys of a tunnel that ssh does not have, given with -o, as they were written. */
  readonly own: Readonly<Record<string, unknown>>;
  /** -F. */
  readonly configFile: string | null;
  /** The number of -v, or -1 for -q. */
  readonly verbosity: number;
  /** Hints about arguments without effect. */
  readonly notes: readonly string[];
  readonly problems: readonly ArgumentProblem[];
}

/** A problem with an argument; the message follows the argument. */
interface ArgumentProblem {
  readonly argument: string;
  readonly message: string;
}

/**
 * Parses the arguments of ssh(1) or autossh(1) as getopt(3) does: options clustered or not, before and after the destination. `ownKeys` are
 * the keys that -o takes besides those of ssh_config(5).
 */
export function parseCommandLine(argv: readonly string[], ownKeys: readonly string[]): CommandLine {
  return new Arguments(argv, ownKeys).read();
}

/** The remaining arguments, and the result of the others. */
class Arguments {
  readonly #rest: string[];
  readonly #ownKeys: readonly string[];
  readonly #overrides: SshOption[] = [];
  readonly #options: SshOption[] = [];
  readonly #own: Record<string, unknown> = {};
  readonly #notes: string[] = [];
  readonly #problems: ArgumentProblem[] = [];
  #destination: string | null = null;
  #configFile: string | null = null;
  #verbosity = 0;

  constructor(argv: readonly string[], ownKeys: readonly string[]) {
    this.#rest = [...argv];
    this.#ownKeys = ownKeys;
  }

  read(): CommandLine {
    for (let argument = this.#rest.shift(); argument !== undefined; argument = this.#rest.shift()) {
      if (argument === '--') {
        if (this.#destination === null) this.#takeDestination(this.#rest.shift() ?? '');
        if (this.#rest.length > 0) this.#takeCommand(this.#rest);
        break;
      }
      if (argument.startsWith('-') && argument.length > 1) this.#takeCluster(argument);
      else if (this.#destination === null) this.#takeDestination(argument);
      else {
        this.#takeCommand([argument, ...this.#rest]);
        break;
      }
    }
    return {
      destination: this.#destination,
      options: [...this.#overrides, ...this.#options],
      own: this.#own,
      configFile: this.#configFile,
      verbosity: this.#verbosity,
      notes: this.#notes,
      problems: this.#problems,
    };
  }

  #takeCommand(words: readonly string[]): void {
    this.#notes.push(`the command "${words.join(' ')}" is not run: tunneld runs no commands on the server`);
  }

  #takeCluster(argument: string): void {
    if (argument.startsWith('--')) {
      this.#problems.push({ argument, message: 'is not an option of tunneld run' });
      return;
    }
    for (let index = 1; index < argument.length; index += 1) {
      const letter = argument[index]!;
      const flag = SSH_FLAGS[letter];
      if (flag === undefined) {
        this.#problems.push({ argument: `-${letter}`, message: 'is not an option of ssh' });
        return;
      }
      const attached = argument.slice(index + 1);
      if (letter === 'M' && this.#takeMonitor(attached)) return;
      if (!flag.takesArgument) {
        this.#take(letter, flag, null);
        continue;
      }
      const value = attached === '' ? this.#rest.shift() : attached;
      if (value === undefined) this.#problems.push({ argument: `-${letter}`, message: 'needs an argument' });
      else this.#take(letter, flag, value);
      return;
    }
  }

  /** autossh's -M takes a port, or a port and another for an echo service; ssh's takes nothing. */
  #takeMonitor(attached: string): boolean {
    const isPort = (text: string | undefined) => text !== undefined && /^\d+(?::\d+)?$/.test(text);
    if (attached !== '' && !isPort(attached)) return false;
    if (attached === '' && !isPort(this.#rest[0])) return false;
    if (attached === '') this.#rest.shift();
    this.#notes.push('-M of autossh has no effect: tunneld checks the connection itself, without monitoring ports');
    return true;
  }

  #take(letter: string, { use }: SshFlag, value: string | null): void {
    const argument = value === null ? `-${letter}` : `-${letter} ${value.trim()}`;
    switch (use.type) {
      case 'option': {
        if (letter === 'J' && this.#options.some(({ key }) => key === 'proxyjump')) {
          const message = '-J may be given only once: separate several servers by commas';
          this.#problems.push({ argument, message });
        }
        const text = use.value ?? (use.key === 'identityfile' ? value! : value!.trim());
        const option = { key: use.key, args: [text], origin: originOf(argument) };
        if (use.first) this.#overrides.unshift(option);
        else this.#options.push(option);
        return;
      }
      case 'own':
        this.#takeOwn(use.what, value ?? '', argument);
        return;
      case 'idle':
        this.#notes.push(`-${letter} has no effect: ${use.why}`);
        return;
      case 'refused':
        this.#problems.push({ argument: `-${letter}`, message: `cannot be used: ${use.why}` });
        return;
      case 'implied':
        return;
    }
  }

  #takeOwn(what: 'config' | 'option' | 'verbose' | 'quiet' | 'monitor', value: string, argument: string): void {
    if (what === 'config') this.#configFile = value;
    else if (what === 'quiet') this.#verbosity = -1;
    else if (what === 'verbose') this.#verbosity = Math.max(0, this.#verbosity) + 1;
    else if (what === 'monitor') this.#notes.push('-M has no effect: tunneld uses a connection of its own');
    else this.#takeOption(value.trim(), argument);
  }

  #takeOption(text: string, argument: string): void {
    const [, word = '', value = ''] = /^([A-Za-z]+)(?:\s*=\s*|\s+)(.*)$/s.exec(text) ?? [];
    const ownKey = this.#ownKeys.find((key) => key.toLowerCase() === word.toLowerCase());
    if (ownKey !== undefined) {
      // A YAML flow mapping such as `{ min: 1, max: 30 }`, as in a configuration.
      this.#own[ownKey] ??= ownKey === 'reconnect' ? orElse(() => parse(value), value) : value;
      return;
    }
    const parsed = parseOption(text, originOf(argument));
    if ('problem' in parsed) {
      this.#problems.push({ argument, message: parsed.problem });
      return;
    }
    if (!HONOURED.has(parsed.option.key) && !REFUSED.has(parsed.option.key))
      this.#notes.push(`${argument} has no effect on a tunnel`);
    this.#options.push(parsed.option);
  }

  #takeDestination(text: string): void {
    if (text === '') this.#problems.push({ argument: "''", message: 'is no destination: the argument is empty' });
    try {
      const { host, user, port } = readDestination(text);
      this.#destination = host;
      if (user !== undefined) this.#options.push({ key: 'user', args: [user], origin: originOf(text) });
      if (port !== undefined) this.#options.push({ key: 'port', args: [String(port)], origin: originOf(text) });
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      this.#destination = '';
      this.#problems.push({ argument: text, message: error.message });
    }
  }
}

function originOf(argument: string): Origin {
  return { file: argument, line: 0, column: 0 };
}

/** `[user@]host` with any text as the host, or an ssh:// URI. */
function readDestination(text: string): { host: string; user?: string | undefined; port?: number | undefined } {
  if (text.startsWith('ssh://')) return readJump(text);
  const at = text.lastIndexOf('@');
  return { host: text.slice(at + 1), user: at < 0 ? undefined : text.slice(0, at) };
}

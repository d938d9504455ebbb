import { resolve } from 'node:path';
import type * as z from 'zod/mini';
import { printable } from '../../lib/text.ts';
import { MAX_SOCKET_PATH } from '../../lib/unix-socket.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { BadValue, oneOrMany, preprocessed, readText, value } from './value.ts';

/** What values of a file depend on: the directory of its relative paths, `~`, variables, and the processor. */
export interface ValueContext extends Pick<ConfigEnvironment, 'home' | 'env' | 'aes'> {
  readonly directory: string;
  /** Whether the tokens of ssh_config(5), which nothing replaces in a file of ours, are refused; what is read from ssh_config has none left. */
  readonly refusesTokens?: true;
}

/** An absolute path of this device: `~` is the home directory, `${NAME}` a variable, and relative paths refer to the file's directory. */
export function readPath(context: ValueContext): (raw: unknown) => string {
  return (raw) => {
    const written = context.refusesTokens === true ? withoutTokens(readText(raw)) : readText(raw);
    const text = written.replaceAll(/\$\{([^}]*)\}/g, (_, name: string) => {
      const found = context.env[name];
      if (found === undefined)
        throw new BadValue(`uses the variable ${printable(name, 40)}, which is not set${ofService(name)}`);
      return found;
    });
    const bare = bareVariable(text);
    if (bare !== null) throw new BadValue(`has the variable $${bare}: write \${${bare}}`);
    if (text === '~' || text.startsWith('~/')) return resolve(context.home, `.${text.slice(1)}`);
    if (text.startsWith('~')) throw new BadValue('must not begin with the home of another user: write the full path');
    return resolve(context.directory, text);
  };
}

function withoutTokens(text: string): string {
  const token = text.replaceAll(ESCAPED_TOKEN, '').match(TOKEN)?.[0];
  if (token === undefined) return text.replaceAll(ESCAPED_TOKEN, '%$1');
  const instead = token === '%d' ? '~ or the whole path' : 'what it stands for';
  throw new BadValue(
    `has the token ${token} of ssh_config, which is not replaced here: write ${instead} (%${token} is a name with ${token} in it)`,
  );
}

/** Two percent signs in the place of one where that would be a token. */
export function escapeTokens(path: string): string {
  return path.replaceAll(TOKEN, '%$&');
}

/** A `%` that letters follow, as in `100%done`, is a part of a name. */
const TOKEN = /%[CLdhijklnpru](?![A-Za-z0-9])/g;
const ESCAPED_TOKEN = /%%([CLdhijklnpru])(?![A-Za-z0-9])/g;

/** The variable at the beginning of a path that is written as in a shell, and is not expanded. */
export function bareVariable(path: string): string | null {
  return /^\$(HOME|USER|LOGNAME|XDG_\w+|[A-Z]+_DIRECTORY)(?:\/|$)/.exec(path)?.[1] ?? null;
}

/** systemd sets CREDENTIALS_DIRECTORY for the running service only, which finds its copies by itself. */
function ofService(name: string): string {
  return name === 'CREDENTIALS_DIRECTORY'
    ? ' outside of the service: name the file in /etc/tunneld, of which the service reads its copy'
    : '';
}

/** The path of a Unix socket of this device. */
export function readSocketPath(context: ValueContext): (raw: unknown) => string {
  return (raw) => checkSocketPath(readPath(context)(raw));
}

/** Rejects a path that no system can bind: an address holds 108 bytes on Linux (unix(7)), 104 on macOS, including the final null byte. */
export function checkSocketPath(path: string): string {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new BadValue(`is longer than the ${MAX_SOCKET_PATH} bytes that the path of a socket may have`);
  return path;
}

/** The schema of one path or a list of them; `none` alone is an empty list. */
export function paths(context: ValueContext): z.ZodMiniType<string[]> {
  return preprocessed((raw) => (isNone(raw) ? [] : raw), oneOrMany(value(readListedPath(context))));
}

/** Like `paths`, where one text may name several paths with spaces between them, as in ssh_config; quotes keep a space. */
export function spacedPaths(context: ValueContext): z.ZodMiniType<string[]> {
  return preprocessed((raw) => (typeof raw === 'string' && raw.trim() !== '' ? splitWords(raw) : raw), paths(context));
}

function splitWords(text: string): string | (string | undefined)[] | undefined {
  const words = [...text.matchAll(/"([^"]+)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
  return words.length === 1 ? words[0] : words;
}

function readListedPath(context: ValueContext): (raw: unknown) => string {
  return (raw) => {
    if (isNone(raw)) throw new BadValue('must be the only value: write either paths or none');
    return readPath(context)(raw);
  };
}

function isNone(raw: unknown): boolean {
  return typeof raw === 'string' && raw.toLowerCase() === 'none';
}

/** The agent's socket (ssh_config(5), IdentityAgent): `none`, a path, or the name of the variable that holds the path. */
export function readAgent(context: ValueContext): (raw: unknown) => string | null {
  return (raw) => {
    const text = readText(raw);
    if (isNone(text)) return null;
    const variable = text === 'SSH_AUTH_SOCK' ? text : /^\$(?!\{)(.*)$/.exec(text)?.[1];
    if (variable === undefined) return readPath(context)(text);
    if (!/^\w+$/.test(variable))
      throw new BadValue('must have only the name of a variable after the $: within a path write ${NAME}');
    return context.env[variable] || null;
  };
}

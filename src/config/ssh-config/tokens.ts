import { createHash } from 'node:crypto';
import { printable } from '../../lib/text.ts';
import { CONNECTION } from '../../model/options.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { SSH_OPTIONS } from '../schema/keys.ts';
import { BadValue } from '../values/value.ts';

/**
 * Replaces the %-tokens of a value (ssh_config(5), TOKENS). `allowed` are the letters of the tokens that the keyword accepts. Throws a
 * BadValue for other tokens, and for those without a value; %% is always a percent sign.
 */
export function expandTokens(text: string, allowed: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/%(.)?/gsu, (_, letter: string | undefined) => {
    if (letter === '%') return '%';
    if (letter === undefined) throw new BadValue('ends with a single %: write %% for a percent sign');
    const value = allowed.includes(letter) ? valueOf(values, letter) : undefined;
    if (value !== undefined) return value;
    const known = [...'%', ...allowed].filter((each) => each === '%' || valueOf(values, each) !== undefined);
    throw new BadValue(
      `uses the unknown token %${printable(letter)}; known are ${known.map((each) => `%${each}`).join(' ')}`,
    );
  });
}

/** The letters of the tokens that a keyword accepts besides %%; empty where its value is not expanded. */
export function tokensOf(key: string): string {
  return TOKENS.get(key) ?? '';
}

const TOKENS: ReadonlyMap<string, string> = new Map([
  ...SSH_OPTIONS.map(({ ssh: { name, tokens = '' } }): [string, string] => [name.toLowerCase(), tokens]),
  ['include', CONNECTION],
]);

/** The values of the tokens of a connection. */
export interface TokenSource {
  /** The server's name after HostName. */
  readonly host: string;
  /** The server's name as the user wrote it. */
  readonly originalHost: string;
  readonly port: number;
  readonly user: string;
  /** HostKeyAlias, or null. */
  readonly hostKeyAlias: string | null;
  /** ProxyJump, or empty. */
  readonly jump: string;
  /** The full host name of this device. */
  readonly localHost: string;
  readonly env: Pick<ConfigEnvironment, 'home' | 'userName' | 'uid'>;
}

/** The values of all tokens that are known before a connection is made. */
export function tokenValues(source: TokenSource): Readonly<Record<string, string>> {
  const { host, port, user, localHost, env } = source;
  return {
    // As in OpenSSH 9.2; later versions hash %j too.
    C: createHash('sha1').update(`${localHost}${host}${port}${user}`).digest('hex'),
    d: env.home,
    h: host,
    i: String(env.uid),
    j: source.jump,
    k: source.hostKeyAlias ?? source.originalHost,
    L: localHost.replace(/\..*/s, ''),
    l: localHost,
    n: source.originalHost,
    p: String(port),
    r: user,
    u: env.userName,
  };
}

function valueOf(values: Readonly<Record<string, string>>, letter: string): string | undefined {
  return Object.hasOwn(values, letter) ? values[letter] : undefined;
}

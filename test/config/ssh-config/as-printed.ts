import { hostname, userInfo } from 'node:os';
import { readDuration } from '../../../src/config/values/duration.ts';
import type { ConfigEnvironment } from '../../../src/config/input/environment.ts';
import type { SshOption } from '../../../src/config/ssh-config/option.ts';
import { CONNECTION } from '../../../src/model/options.ts';
import { expandTokens, tokensOf, tokenValues } from '../../../src/config/ssh-config/tokens.ts';

/** Our options in the words of `ssh -G`: by keyword, the lines that it prints. */
export function asPrintedBySsh(options: readonly SshOption[], host: string, env: ConfigEnvironment) {
  const printed = new Map<string, string[]>([
    ['hostname', [host.toLowerCase()]],
    ['user', [env.userName]],
  ]);
  const set = new Map<string, string[]>();
  for (const { key, args } of options) set.set(key, [...(set.get(key) ?? []), print(key, args, host)]);
  for (const [key, lines] of set) if (!isNoProxy(key, lines)) printed.set(key, lines);
  const path = printed.get('controlpath')?.[0];
  if (path !== undefined) printed.set('controlpath', [controlPath(path, printed, host, env)]);
  return printed;
}

/** ssh -G says nothing about a proxy that is none. */
function isNoProxy(key: string, [line]: string[]): boolean {
  return (key === 'proxycommand' || key === 'proxyjump') && line?.toLowerCase() === 'none';
}

function print(key: string, args: readonly string[], host: string): string {
  const [first = '', second] = args;
  if (key === 'hostname') return expandTokens(first, tokensOf(key), { h: host }).toLowerCase();
  if (key.endsWith('forward') && key !== 'localforward' && second === undefined) return listener(key, first);
  if (key.endsWith('forward')) return `${address(first)} ${address(second ?? '')}`;
  if (DURATIONS.includes(key)) return /^\d/.test(first) ? String(readDuration(first) / 1000) : first;
  if (key === 'rekeylimit') return `${first.replace('1G', '1073741824')} ${readDuration(second) / 1000}`;
  if (key === 'addkeystoagent') return second === undefined ? first : `${first} ${readDuration(second) / 1000}`;
  if (UPPER_CASE.includes(key)) return first.toUpperCase();
  if (key === 'escapechar') return first.replace(/^\^(.)/, (_, char: string) => `\\^${char.toUpperCase()}`);
  const text = args.map((argument) => argument.replace(/^~(?=\/)/, FILES.includes(key) ? userInfo().homedir : '~'));
  return text.join(' ');
}

const DURATIONS = ['connecttimeout', 'controlpersist', 'forwardx11timeout', 'serveraliveinterval'];
const UPPER_CASE = ['loglevel', 'syslogfacility', 'fingerprinthash'];

/** What ssh has expanded before it prints. */
const FILES = ['controlpath', 'userknownhostsfile', 'globalknownhostsfile'];

function listener(key: string, listen: string): string {
  return key === 'remoteforward' ? `${address(listen)} [socks]:0` : address(listen);
}

/** `host:port` as `[host]:port`; a port alone and a path stay. */
function address(text: string): string {
  return /^(?:\d+|\/.*|\[.*)$/.test(text) ? text : text.replace(/^(.*):/, '[$1]:');
}

function controlPath(
  path: string,
  printed: Map<string, string[]>,
  originalHost: string,
  env: ConfigEnvironment,
): string {
  const values = tokenValues({
    host: printed.get('hostname')?.[0] ?? '',
    originalHost,
    user: printed.get('user')?.[0] ?? '',
    port: Number(printed.get('port')?.[0] ?? 22),
    hostKeyAlias: printed.get('hostkeyalias')?.[0] ?? null,
    jump: '',
    localHost: hostname(),
    env: { ...env, home: userInfo().homedir },
  });
  return expandTokens(path, CONNECTION, values);
}

/** Words that mean the same. */
export function sameWords(lines: readonly string[] | undefined): readonly string[] | undefined {
  if (lines === undefined || lines.length !== 1) return lines;
  const [line = ''] = lines;
  const word = line.toLowerCase();
  return [WORDS.get(word) ?? line];
}

const WORDS: ReadonlyMap<string, string> = new Map([
  ['yes', 'true'],
  ['no', 'false'],
  ['off', 'false'],
  ['true', 'true'],
  ['false', 'false'],
]);

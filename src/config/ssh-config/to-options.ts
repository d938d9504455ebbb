import { hostname } from 'node:os';
import type { Kind, SshKeyword } from '../../model/options.ts';
import { bareVariable } from '../values/path.ts';
import { canonicalAddress } from '../values/address.ts';
import { lowerCase } from '../../lib/text.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { readMapping, type Path } from '../schema/mapping.ts';
import { isBareListener, openProxyWarning } from '../values/forward.ts';
import type { Findings } from '../input/findings.ts';
import { servicePort } from '../../host/services.ts';
import { openSshList } from './openssh-algorithms.ts';
import { reportRefused } from './refused-options.ts';
import { SSH_OPTIONS, type TunnelKeys } from '../schema/keys.ts';
import { tunnelSchema } from '../schema/schema.ts';
import type { SshOption } from './option.ts';
import { readSshConfig, type SshConfigRequest } from './read.ts';
import { expandTokens, tokensOf, tokenValues } from './tokens.ts';
import { BadValue } from '../values/value.ts';
import { orElse } from '../../lib/or-else.ts';
import { locationOf } from './option.ts';

/** The options of ssh_config for a host, as keys of a tunnel. All problems are reported. A jump is only gone through, and carries no forwards. */
export async function lookUp(
  request: SshConfigRequest & { readonly isJump: boolean },
  findings: Findings,
): Promise<TunnelKeys> {
  if (request.file === 'none' && request.first.length === 0) return {};
  const options = await readSshConfig(request, findings);
  if (!request.isJump) reportCleared(options, findings);
  return tunnelKeys(options, request.host, request.env, findings);
}

/** ssh clears the forwards of its command line, too, so that it would clear those of our file; and without any there is no tunnel. */
function reportCleared(options: readonly SshOption[], { problem }: Findings): void {
  const option = options.find(({ key }) => key === 'clearallforwardings');
  const word = option?.args[0]?.toLowerCase() ?? 'no';
  if (option === undefined || word === 'no' || word === 'false') return;
  const message =
    word === 'yes' || word === 'true'
      ? 'ClearAllForwardings removes all forwards, and a tunnel needs one: set it to no for this host'
      : 'ClearAllForwardings must be yes or no';
  problem({ ...option.origin, message });
}

/** Options of ssh as keys of a tunnel; `destination` is the host as the user named it. */
function tunnelKeys(
  options: readonly SshOption[],
  destination: string,
  env: ConfigEnvironment,
  findings: Findings,
): TunnelKeys {
  reportRefused(options, findings);
  const { raw, origins } = written(options, valuesOf(options, destination, env), findings);
  if (raw.updateHostKeys === undefined && !learnsHostKeys(options)) raw.updateHostKeys = 'no';
  if (raw.identityFile !== undefined) raw.identityFile = withoutNone(raw.identityFile as readonly string[]);
  if (raw.certificateFile !== undefined) raw.certificateFile = withoutNone(raw.certificateFile as readonly string[]);
  const originOf = (path: Path) =>
    origins.get(keyOf(path.slice(0, 2))) ?? origins.get(keyOf(path.slice(0, 1))) ?? origins.get(keyOf([path[0], 0]));
  return readMapping(tunnelSchema(env), raw, [], (path, message) => {
    const { origin } = originOf(path) ?? { origin: { file: `host ${destination}`, line: 0, column: 0 } };
    findings.problem({ ...origin, message: `${String(path[0])} ${message}` });
  });
}

type Raw = { -readonly [Name in keyof TunnelKeys]: unknown };

/** The options as values of our configuration file, and their origins. */
function written(
  options: readonly SshOption[],
  values: Readonly<Record<string, string>>,
  findings: Findings,
): { readonly raw: Raw; readonly origins: ReadonlyMap<string, SshOption> } {
  const raw: Raw = {};
  const origins = new Map<string, SshOption>();
  for (const option of options) {
    const rule = RULES.get(option.key);
    if (rule === undefined) continue;
    const { name, kind, ssh } = rule;
    try {
      const args = option.args.map((arg) => expanded(option.key, arg, values));
      const text = (READ[kind.type] ?? firstArgument)({ ...option, args }, findings, kind, ssh);
      if (text === undefined) continue;
      const list = LISTS.includes(kind.type) ? ((raw[name] ??= []) as unknown[]) : null;
      origins.set(keyOf(list === null ? [name] : [name, list.length]), option);
      if (list === null) raw[name] = text;
      else list.push(text);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      findings.problem({ ...option.origin, message: `${name} ${error.message}` });
    }
  }
  return { raw, origins };
}

function keyOf(path: readonly unknown[]): string {
  return JSON.stringify(path);
}

/** Among files, `none` is ignored; alone it turns those off that would be used unasked. */
function withoutNone(files: readonly string[]): 'none' | readonly string[] {
  const named = files.filter((file) => file.toLowerCase() !== 'none');
  return named.length === 0 ? 'none' : named;
}

/** The options of ssh_config(5) that tunnels have, by their name in lower case. */
const RULES = new Map(SSH_OPTIONS.map((option) => [option.ssh.name.toLowerCase(), option]));

/** Kinds whose options add up to a list. */
const LISTS: readonly Kind['type'][] = ['forwards', 'paths'];

type Read = (option: SshOption, findings: Findings, kind: Kind, ssh: SshKeyword) => unknown;

const firstArgument: Read = ({ args }) => args[0];

/** How values of a kind are taken from the arguments of ssh, where it is not the first argument as it is. */
const READ: Readonly<Partial<Record<Kind['type'], Read>>> = {
  algorithms: openSshList,
  'channel-timeouts': ({ args }) => args,
  command: ({ args }) => args.join(' '),
  destinations: ({ args }) => args,
  // For ssh, both mean no timeout of its own.
  duration: ({ args }, _, kind) => (hasMinimum(kind) && /^(?:none|0)$/i.test(args[0] ?? '') ? undefined : args[0]),
  forwards: (option, findings, kind) =>
    'of' in kind && kind.of === 'remote' ? remoteForward(option, findings) : forwardText(option),
  paths: (option, findings) => asWritten(option.args.join(' '), option, findings),
  port: ({ args: [port = ''] }) => (/^\d+$/.test(port) ? port : (servicePort(port) ?? port)),
  'pubkey-authentication': word,
  'rekey-limit': ({ args }) => args,
  'spaced-paths': files,
  strictness: word,
  words: word,
  'yes-no': word,
};

function hasMinimum(kind: Kind): boolean {
  return kind.type === 'duration' && kind.min > 0;
}

/** A keyword value in lower case, because ssh ignores case. */
function word({ args: [text = ''] }: SshOption, _: Findings, __: Kind, { words = {} }: SshKeyword): string {
  const lower = text.toLowerCase();
  return Object.hasOwn(words, lower) ? words[lower]! : lower;
}

/** Options that take effect while the files are read. */
const CANONICAL = [
  'canonicaldomains',
  'canonicalizefallbacklocal',
  'canonicalizehostname',
  'canonicalizemaxdots',
  'canonicalizepermittedcnames',
];

/** The names, in lower case, of the options that have an effect here. */
export const HONOURED: ReadonlySet<string> = new Set([
  ...RULES.keys(),
  ...CANONICAL,
  'clearallforwardings',
  'ignoreunknown',
  'tag',
]);

/** Each argument is one path, spaces included. */
function files(option: SshOption, findings: Findings): unknown {
  const { args } = option;
  if (args.length === 1 && args[0]?.toLowerCase() === 'none') return 'none';
  return args.map((arg) => asWritten(arg, option, findings));
}

/** ssh expands ${HOME}, but takes $HOME as the name of a directory. */
function asWritten(path: string, option: SshOption, { warn }: Findings): string {
  const variable = bareVariable(path);
  if (variable === null) return path;
  warn(`${locationOf(option.origin)}: $${variable} in a path is not expanded, as in ssh: write \${${variable}}`);
  return `./${path}`;
}

/** In a file, listener and target are two words, each of which may contain spaces. */
function forwardText({ args }: SshOption): string {
  return args.map((arg) => arg.trim().replaceAll(/\s/g, String.raw`\$&`)).join(' ');
}

/** The default of UpdateHostKeys: ssh updates the default file only, and not with VerifyHostKeyDNS (ssh_config(5)). */
function learnsHostKeys(options: readonly SshOption[]): boolean {
  const first = (key: string) => options.find((option) => option.key === key)?.args;
  const files = first('userknownhostsfile') ?? ['~/.ssh/known_hosts'];
  const dns = first('verifyhostkeydns')?.[0]?.toLowerCase() ?? 'no';
  return files.length === 1 && files[0] === '~/.ssh/known_hosts' && (dns === 'no' || dns === 'false');
}

/** For ssh, a forward without a target is a SOCKS proxy, which our file has to write out. */
function remoteForward(option: SshOption, { warn }: Findings): unknown {
  const text = forwardText(option);
  if (!isBareListener(text)) return text;
  warn(`${locationOf(option.origin)}: ${openProxyWarning(text)}`);
  return { listen: text, target: 'socks' };
}

function expanded(key: string, text: string, values: Readonly<Record<string, string>>): string {
  const allowed = tokensOf(key);
  // A command is expanded once its server is known; in other values a percent sign is literal.
  if (allowed === '' || key === 'proxycommand' || (key.endsWith('forward') && !text.includes('/'))) return text;
  return key === 'hostname' ? hostNameOf(text, values['n'] ?? '') : expandTokens(text, allowed, values);
}

/** A HostName with unknown tokens is reported elsewhere. */
function hostNameOf(hostName: string | undefined, originalHost: string): string {
  return orElse(() => expandTokens(hostName ?? '%h', 'h', { h: originalHost }), originalHost);
}

function valuesOf(options: readonly SshOption[], originalHost: string, env: ConfigEnvironment): Record<string, string> {
  const first = (key: string) => options.find((option) => option.key === key)?.args[0];
  const port = Number(first('port') ?? 22);
  return tokenValues({
    // ssh has it in small letters by then (ssh.c).
    host: lowerCase(canonicalAddress(hostNameOf(first('hostname'), originalHost))),
    originalHost,
    port,
    user: first('user') ?? env.userName,
    hostKeyAlias: first('hostkeyalias') ?? null,
    jump: first('proxyjump') ?? '',
    localHost: hostname(),
    env,
  });
}

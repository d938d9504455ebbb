import { hostname } from 'node:os';
import { bareVariable } from '../values/path.ts';
import { canonicalAddress } from '../values/address.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { readMapping, type Path } from '../schema/mapping.ts';
import { isBareListener, openProxyWarning } from '../values/forward.ts';
import type { Findings } from '../input/findings.ts';
import { servicePort } from '../../host/services.ts';
import { openSshList } from './openssh-algorithms.ts';
import { reportRefused } from './refused-options.ts';
import { type TunnelKeys, tunnelSchema } from '../schema/schema.ts';
import { readSshConfig, type SshConfigRequest, type SshOption } from './read.ts';
import { expandTokens, tokensOf, tokenValues } from './tokens.ts';
import { BadValue } from '../values/value.ts';

/** What ssh_config says of a host, as keys of a tunnel. Everything that is wrong with it is reported. */
export async function lookUp(request: SshConfigRequest, findings: Findings): Promise<TunnelKeys> {
  if (request.file === 'none' && request.first.length === 0) return {};
  const { options, problems, notes, warnings } = await readSshConfig(request);
  for (const problem of problems) findings.problem(problem);
  for (const note of notes) findings.note(note);
  for (const warning of warnings) findings.warn(warning);
  // What is wrong with a HostName is seen twice.
  const told = new Set(problems.map(({ file, line, column }) => placeOf([file, line, column])));
  const others: Findings = {
    ...findings,
    problem: (problem) => {
      if (!told.has(placeOf([problem.file, problem.line, problem.column]))) findings.problem(problem);
    },
  };
  return tunnelKeys(options, request.host, request.env, others);
}

/** Options of ssh as keys of a tunnel; `destination` is the host as it was named. */
function tunnelKeys(
  options: readonly SshOption[],
  destination: string,
  env: ConfigEnvironment,
  findings: Findings,
): TunnelKeys {
  reportRefused(options, findings);
  const raw: Record<string, unknown> = {};
  const origins = new Map<string, SshOption>();
  const values = valuesOf(options, destination, env);
  for (const option of options) {
    const rule = RULES.get(option.key);
    if (rule === undefined) continue;
    try {
      const text = rule.read(
        { ...option, args: option.args.map((arg) => expanded(option.key, arg, values)) },
        findings,
      );
      if (text === undefined) continue;
      const list = rule.many ? ((raw[rule.name] ??= []) as unknown[]) : null;
      origins.set(placeOf(list === null ? [rule.name] : [rule.name, list.length]), option);
      if (list === null) raw[rule.name] = text;
      else list.push(text);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      findings.problem({ ...option.origin, message: `${rule.name} ${error.message}` });
    }
  }
  if (options.some(({ key, args }) => key === 'clearallforwardings' && args[0]?.toLowerCase() === 'yes')) {
    for (const key of ['remoteForward', 'localForward', 'dynamicForward']) delete raw[key];
  }
  if (raw['updateHostKeys'] === undefined && !learnsHostKeys(options)) raw['updateHostKeys'] = 'no';
  // Among files `none` is nothing; alone it says that not even the usual ones are tried.
  const files = raw['identityFile'] as readonly string[] | undefined;
  const named = files?.filter((file) => file.toLowerCase() !== 'none') ?? [];
  if (files !== undefined) raw['identityFile'] = named.length === 0 ? 'none' : named;
  const originOf = (path: Path) =>
    origins.get(placeOf(path.slice(0, 2))) ??
    origins.get(placeOf(path.slice(0, 1))) ??
    origins.get(placeOf([path[0], 0]));
  return readMapping(tunnelSchema(env), raw, [], (path, message) => {
    const { origin } = originOf(path) ?? { origin: { file: `host ${destination}`, line: 0, column: 0 } };
    findings.problem({ ...origin, message: `${String(path[0])} ${message}` });
  });
}

function placeOf(path: readonly unknown[]): string {
  return JSON.stringify(path);
}

interface Rule {
  /** The key of a tunnel. */
  readonly name: keyof TunnelKeys;
  /** Whether several options make a list. */
  readonly many: boolean;
  read(option: SshOption, findings: Findings): unknown;
}

const one = (name: keyof TunnelKeys, read: Rule['read'] = ({ args }) => args[0]): Rule => ({ name, many: false, read });
const many = (name: keyof TunnelKeys, read: Rule['read'] = ({ args }) => args.join(' ')): Rule => ({
  name,
  many: true,
  read,
});
const yesNo = (name: keyof TunnelKeys): Rule => one(name, ({ args }) => args[0]?.toLowerCase());

/** The options of ssh_config(5) that have a meaning here, by their name in lower case. */
const RULES: ReadonlyMap<string, Rule> = new Map([
  ['hostname', one('host')],
  ['port', one('port', ({ args: [port = ''] }) => (/^\d+$/.test(port) ? port : (servicePort(port) ?? port)))],
  ['user', one('user')],
  ['addressfamily', one('addressFamily', ({ args }) => args[0]?.toLowerCase())],
  ['bindaddress', one('bindAddress')],
  ['bindinterface', one('bindInterface')],
  ['connecttimeout', one('connectTimeout', ({ args }) => (/^(?:none|0)$/i.test(args[0] ?? '') ? undefined : args[0]))],
  ['tcpkeepalive', yesNo('tcpKeepAlive')],
  ['identityfile', many('identityFile', (option, findings) => asWritten(option.args.join(' '), option, findings))],
  ['identitiesonly', yesNo('identitiesOnly')],
  ['identityagent', one('identityAgent')],
  ['preferredauthentications', one('preferredAuthentications')],
  ['pubkeyauthentication', yesNo('pubkeyAuthentication')],
  ['passwordauthentication', yesNo('passwordAuthentication')],
  ['kbdinteractiveauthentication', yesNo('kbdInteractiveAuthentication')],
  ['numberofpasswordprompts', one('numberOfPasswordPrompts')],
  ['pubkeyacceptedalgorithms', one('pubkeyAcceptedAlgorithms')],
  ['requiredrsasize', one('requiredRSASize')],
  ['certificatefile', one('certificateFile', certificate)],
  ['userknownhostsfile', one('userKnownHostsFile', files)],
  ['globalknownhostsfile', one('globalKnownHostsFile', files)],
  ['stricthostkeychecking', one('strictHostKeyChecking', strictness)],
  ['hostkeyalias', one('hostKeyAlias')],
  ['revokedhostkeys', one('revokedHostKeys', files)],
  ['checkhostip', yesNo('checkHostIP')],
  ['updatehostkeys', one('updateHostKeys', ({ args }) => (args[0]?.toLowerCase() === 'ask' ? 'no' : args[0]))],
  ['serveraliveinterval', one('serverAliveInterval')],
  ['serveralivecountmax', one('serverAliveCountMax')],
  ['exitonforwardfailure', yesNo('exitOnForwardFailure')],
  ['compression', yesNo('compression')],
  ['rekeylimit', one('rekeyLimit', ({ args }) => args)],
  ['ciphers', one('ciphers', openSshList)],
  ['kexalgorithms', one('kexAlgorithms', openSshList)],
  ['macs', one('macs', openSshList)],
  ['hostkeyalgorithms', one('hostKeyAlgorithms', openSshList)],
  ['remoteforward', many('remoteForward', remoteForward)],
  ['localforward', many('localForward', forwardText)],
  ['dynamicforward', many('dynamicForward', forwardText)],
  ['gatewayports', yesNo('gatewayPorts')],
  ['streamlocalbindunlink', yesNo('streamLocalBindUnlink')],
  ['streamlocalbindmask', one('streamLocalBindMask')],
  ['channeltimeout', one('channelTimeout', ({ args }) => args)],
  ['permitremoteopen', one('permitRemoteOpen', ({ args }) => args)],
  ['proxyjump', one('proxyJump')],
  ['proxycommand', one('proxyCommand', ({ args }) => args.join(' '))],
]);

/** What these say is done while the files are read. */
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

/** Each argument is one path, spaces and all. */
function files(option: SshOption, findings: Findings): unknown {
  const { args } = option;
  if (args.length === 1 && args[0]?.toLowerCase() === 'none') return 'none';
  return args.map((arg) => asWritten(arg, option, findings));
}

/** ssh replaces ${HOME}, and takes $HOME for the name of a directory. */
function asWritten(path: string, option: SshOption, { warn }: Findings): string {
  const variable = bareVariable(path);
  if (variable === null) return path;
  warn(`${whereOf(option)}: ssh does not replace $${variable} in a path: write \${${variable}}`);
  return `./${path}`;
}

/** In a file listener and target are two words; what is one word may have spaces within. */
function forwardText({ args }: SshOption): string {
  return args.map((arg) => arg.trim().replaceAll(/\s/g, String.raw`\$&`)).join(' ');
}

/** Where nothing is said of UpdateHostKeys, ssh learns into the usual file alone, and not beside DNS (ssh_config(5)). */
function learnsHostKeys(options: readonly SshOption[]): boolean {
  const first = (key: string) => options.find((option) => option.key === key)?.args;
  const files = first('userknownhostsfile') ?? ['~/.ssh/known_hosts'];
  const dns = first('verifyhostkeydns')?.[0]?.toLowerCase() ?? 'no';
  return files.length === 1 && files[0] === '~/.ssh/known_hosts' && (dns === 'no' || dns === 'false');
}

/** Without a target it is a SOCKS proxy to ssh, which a file of ours has to say in so many words. */
function remoteForward(option: SshOption, { warn }: Findings): unknown {
  const text = forwardText(option);
  if (!isBareListener(text)) return text;
  warn(`${whereOf(option)}: ${openProxyWarning(text)}`);
  return { listen: text, target: 'socks' };
}

function whereOf({ origin: { file, line } }: SshOption): string {
  return line === 0 ? file : `${file}:${line}`;
}

/** Nobody is there to be asked, so `ask`, the default of ssh, is `yes` here. */
function strictness({ args }: SshOption): unknown {
  const word = args[0]?.toLowerCase();
  if (word === 'ask' || word === 'true') return 'yes';
  return word === 'off' || word === 'false' ? 'no' : word;
}

/** In a file for ssh it is no reason to stay down, since the server may take the key without it. */
function certificate({ args, origin }: SshOption, { note }: Findings): unknown {
  if (origin.line === 0) return args[0];
  note(`${origin.file}:${origin.line}: CertificateFile is not supported: the key is offered without its certificate`);
  return undefined;
}

function expanded(key: string, text: string, values: Readonly<Record<string, string>>): string {
  const allowed = tokensOf(key);
  // A command is expanded when it is known which server it is for; elsewhere a percent sign is nothing special.
  if (allowed === '' || key === 'proxycommand' || (key.endsWith('forward') && !text.includes('/'))) return text;
  return expandTokens(text, allowed, key === 'hostname' ? { h: values['n'] ?? '' } : values);
}

/** A HostName with tokens that do not exist is reported where its own turn comes. */
function hostNameOf(hostName: string | undefined, originalHost: string): string {
  if (hostName === undefined) return originalHost;
  try {
    return expandTokens(hostName, 'h', { h: originalHost });
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    return originalHost;
  }
}

function valuesOf(options: readonly SshOption[], originalHost: string, env: ConfigEnvironment): Record<string, string> {
  const first = (key: string) => options.find((option) => option.key === key)?.args[0];
  const port = Number(first('port') ?? 22);
  return tokenValues({
    host: canonicalAddress(hostNameOf(first('hostname'), originalHost)),
    originalHost,
    port,
    user: first('user') ?? env.userName,
    hostKeyAlias: first('hostkeyalias') ?? null,
    jump: first('proxyjump') ?? '',
    localHost: hostname(),
    env,
  });
}

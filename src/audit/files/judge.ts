import { isForServer, type Access } from '../../server-rules/access.ts';
import { printable, firstFew } from '../../lib/text.ts';
import type { ForwardSpec } from '../../model/spec.ts';
import type { Finding } from '../findings/finding.ts';
import { type Hole, IN_RULES } from '../findings/hole.ts';
import { allows, valuesOf, type KeyEntry } from './authorized-keys.ts';
import { both, covers, printExtent, readExtent, type Extent } from './extent.ts';
import type { ServerFacts } from './facts.ts';
import { judgeForcedCommand, type Forced } from './forced-command.ts';
import { isLoopbackHost } from '../../model/endpoint.ts';

export interface Judgement {
  /** One for each hole that the rules show. */
  readonly findings: readonly Finding[];
  /** Why not everything is known; empty where it is. */
  readonly problems: readonly string[];
}

export interface JudgeOptions {
  readonly access: Access;
  readonly forwards: readonly ForwardSpec[];
  /** In base64: those of the tunnel, and of the authorities of its certificates. */
  readonly keys: readonly string[];
  readonly authorities: readonly string[];
  /** What lines of the tunnels that log in as this user hold: a key in base64, or `principals="…" TYPE KEY` of an authority. */
  readonly known: readonly string[];
}

/** Compares what the server allows the tunnel's keys with what the tunnel needs. */
export function judgeFacts(facts: ServerFacts, options: JudgeOptions): Judgement {
  const { rules, keys } = facts;
  const ours = keys.filter((key) => letsIn(key, options));
  const rule = (name: string) => rules.get(name)?.[0] ?? '';
  const problems = [
    ...facts.problems,
    ...(ours.length === 0 ? ['no line of these files has a key of the tunnel'] : []),
    ...UNREAD.filter((name) => !['', 'none'].includes(rule(name))).map((name) => `keys come from ${name}, too`),
  ];
  const open = new Map<Hole, string[]>();
  const note: Note = (hole, detail) => open.set(hole, [...(open.get(hole) ?? []), detail]);
  for (const key of ours) judgeKey(key, facts, options, note);
  judgeRules(facts, options, note);
  for (const key of keys) problems.push(...judgeCommand(key, facts, options, ours.includes(key), note));
  for (const account of facts.otherAccounts) note('other-accounts', account);
  // Whether commands run at all was tried.
  const holes = open.has('command') ? ['command' as const, ...IN_RULES] : IN_RULES;
  return { findings: holes.map((hole) => findingOf(hole, open.get(hole))), problems };
}

/** Whether the tunnel may log in by this line. For which principals a line with an authority is does not count. */
function letsIn(key: KeyEntry, { keys, authorities }: JudgeOptions): boolean {
  return keys.includes(key.base64) || (isAuthority(key) && authorities.includes(key.base64));
}

function isAuthority({ options }: KeyEntry): boolean {
  return options.some(({ name }) => name === 'cert-authority');
}

function isLineOf(key: KeyEntry, known: string): boolean {
  if (!isAuthority(key)) return known === key.base64;
  return known.startsWith(`principals="${valuesOf(key, 'principals').join()}" `) && known.endsWith(` ${key.base64}`);
}

type Note = (hole: Hole, detail: string) => void;

function judgeKey(key: KeyEntry, facts: ServerFacts, options: JudgeOptions, note: Note): void {
  const { rules } = facts;
  const rule = (name: string) => rules.get(name)?.[0] ?? '';
  const sockets = ['yes', 'all', 'local'].includes(rule('allowstreamlocalforwarding'));
  for (const { extent, words } of extraOpens(facts, key, options))
    for (const hole of holesOfTarget(extent, sockets)) note(hole, words);
  for (const { extent, words } of extraListens(facts, key, options))
    note(holeOfListener(extent, rule('gatewayports')), words);
  if (rule('permituserrc') === 'yes' && facts.hasHome && allows(key, 'user-rc'))
    note('user-rc', `PermitUserRC yes, and ${lineOf(key)} leaves it`);
}

/** Notes what the key runs, and a foreign key that is for more than listeners of its own; returns what is not known. */
function judgeCommand(
  key: KeyEntry,
  { rules }: ServerFacts,
  { known, access }: JudgeOptions,
  isOurs: boolean,
  note: Note,
): readonly string[] {
  const command = forcedCommand(key, rules.get('forcecommand') ?? []);
  const forced = command === null ? null : judgeForcedCommand(command);
  const shown = printable(command ?? '', 80);
  if (forced === 'anything' && isOurs) note('command', `${lineOf(key)} has the forced command ${shown}`);
  const why = known.some((text) => isLineOf(key, text)) ? null : whyOpen(key, forced, access);
  if (why !== null) note('other-keys', `${lineOf(key)}: ${key.fingerprint} ${key.comment}`.trim() + `: ${why}`);
  return forced === 'unknown'
    ? [`the forced command ${shown} of ${lineOf(key)} could do anything: it is not known here`]
    : [];
}

/** What the rules allow every key. */
function judgeRules({ rules, keys }: ServerFacts, options: JudgeOptions, note: Note): void {
  const rule = (name: string) => rules.get(name)?.[0] ?? '';
  const ours = keys.some((key) => letsIn(key, options));
  if (ours && rule('permituserenvironment') !== 'no' && rules.size > 0)
    note('environment', `PermitUserEnvironment ${rule('permituserenvironment')}: environment= and ~/.ssh/environment`);
  if (rule('gatewayports') === 'yes' && options.forwards.some(isForServer))
    note('listen-public', 'GatewayPorts yes: they listen on all addresses');
  if (rule('permittunnel') !== 'no' && rules.size > 0) note('tunnel-device', `PermitTunnel ${rule('permittunnel')}`);
  const variables = (rules.get('acceptenv') ?? []).filter(
    (name) => !/^(?:LANG|LC_\*|LC_[A-Z]+|COLORTERM|NO_COLOR|NONE)$/.test(name),
  );
  if (variables.length > 0) note('environment', `AcceptEnv ${variables.slice(0, 10).join(' ')}`);
}

const UNREAD = ['authorizedkeyscommand', 'trustedusercakeys'];
const MAX_DETAILS = 5;

function findingOf(hole: Hole, details: readonly string[] | undefined): Finding {
  if (details === undefined) return { hole, verdict: 'closed', detail: '' };
  return { hole, verdict: 'open', detail: firstFew([...new Set(details)], MAX_DETAILS).join('; ') };
}

interface Extra {
  readonly extent: Extent;
  readonly words: string;
}

/** Targets that the rules allow and the tunnel does not need. */
function extraOpens({ rules }: ServerFacts, key: KeyEntry, { access }: JudgeOptions): readonly Extra[] {
  if (access.opens === 'any' || !forwards(rules, key, 'local')) return [];
  const needed = [...access.opens, ...access.fallbackOpens].map(readExtent);
  const allowed = both(listOf(valuesOf(key, 'permitopen'), 'any'), listOf(rules.get('permitopen') ?? [], 'none'));
  return allowed
    .filter((extent) => !needed.some((one) => covers(one, extent)))
    .map((extent) => extraOf(extent, 'PermitOpen', key));
}

/** Where sshd ignores the address, listeners of one port are one. */
function extraListens({ rules }: ServerFacts, key: KeyEntry, { access }: JudgeOptions): readonly Extra[] {
  if (!forwards(rules, key, 'remote')) return [];
  const blind = rules.get('gatewayports')?.[0] !== 'clientspecified';
  const anywhere = (extent: Extent) => (blind ? { ...extent, host: '*' } : extent);
  const needed = access.listens.map(readExtent).map(anywhere);
  const allowed = both(listOf(valuesOf(key, 'permitlisten'), 'any'), listOf(rules.get('permitlisten') ?? [], 'none'));
  return allowed
    .filter((extent) => !needed.some((one) => covers(one, anywhere(extent))))
    .map((extent) => extraOf(extent, 'PermitListen', key));
}

function extraOf(extent: Extent, option: string, key: KeyEntry): Extra {
  return { extent, words: `${option} ${printExtent(extent)} (${lineOf(key)}, and sshd_config)` };
}

/** Null allows everything. `none`, or a name that never exists, allows nothing. */
function listOf(values: readonly string[], empty: 'any' | 'none'): readonly Extent[] | null {
  if (values.includes('any') || (values.length === 0 && empty === 'any')) return null;
  return values.filter((value) => value !== 'none' && !value.startsWith('none.invalid:')).map(readExtent);
}

function forwards(rules: ServerFacts['rules'], key: KeyEntry, side: 'local' | 'remote'): boolean {
  const allowed = rules.get('allowtcpforwarding')?.[0] ?? 'yes';
  const disabled = rules.get('disableforwarding')?.[0] === 'yes';
  return !disabled && ['yes', 'all', side].includes(allowed) && allows(key, 'port-forwarding');
}

function holesOfTarget({ host, port }: Extent, sockets: boolean): readonly Hole[] {
  if (host.startsWith('/')) return sockets ? ['connect-socket'] : [];
  if (host !== '*') return [isLoopbackHost(host) ? 'connect-server' : 'connect-elsewhere'];
  return ['connect-server', 'connect-elsewhere', ...(port === '*' && sockets ? (['connect-socket'] as const) : [])];
}

function holeOfListener({ host, port }: Extent, gateway: string): Hole {
  if (gateway === 'yes' || (gateway === 'clientspecified' && !isLoopbackHost(host))) return 'listen-everywhere';
  return port !== '*' && Number(port) < 1024 ? 'listen-privileged' : 'listen-port';
}

/** Why a foreign key is for more than listeners of its own; null where it is not. */
function whyOpen(key: KeyEntry, forced: Forced | null, { listens }: Access): string | null {
  const own = valuesOf(key, 'permitlisten').map(readExtent);
  if (isAuthority(key)) return 'it accepts every key that it has signed';
  if (!key.options.some(({ name }) => name === 'restrict')) return 'it is not restricted';
  if (forced === null || forced === 'anything') return 'it runs commands';
  if (!allows(key, 'port-forwarding')) return null;
  if (own.length === 0) return 'it listens on every port';
  return listens.map(readExtent).some((mine) => own.some((one) => covers(one, mine) || covers(mine, one)))
    ? "it listens on the tunnel's port"
    : null;
}

/** That of sshd_config replaces the key's own. */
function forcedCommand(key: KeyEntry, forced: readonly string[]): string | null {
  const text = forced.join(' ');
  return ['', 'none'].includes(text) ? (valuesOf(key, 'command')[0] ?? null) : text;
}

function lineOf({ file, line }: KeyEntry): string {
  return `line ${line} of ${file}`;
}

import { servicePort } from '../../host/services.ts';
import { bracketed } from '../../model/endpoint.ts';
import { SIGNATURE_ALGORITHMS } from '../../model/algorithms.ts';
import { type AuthMethod, type ChannelTimeout, OPTIONS, type RekeyLimit } from '../../model/options.ts';
import { readList, splitList } from './algorithm-list.ts';
import { readDuration } from './duration.ts';
import { matchesGlob } from '../../lib/glob.ts';
import { BadValue, isEmpty, readText, readYesNo, show } from './value.ts';

/** Keys of a server that restrict, as the options of ssh_config(5) with their names. */

/** Every way to log in, in the order in which they are tried (ssh_config(5), PreferredAuthentications). */
const AUTH_METHODS: readonly AuthMethod[] = OPTIONS.preferredAuthentications.default;

/** A list of authentication methods. Unsupported ones are left out. */
export function readMethods(raw: unknown): AuthMethod[] {
  const names = readList(raw)
    .split(',')
    .map((name) => name.trim());
  const bad = names.find((name) => !/^[\w@.-]+$/.test(name));
  if (bad !== undefined) throw new BadValue(`has ${show(bad)}, which is not an authentication method`);
  return [...new Set(names)].filter((name): name is AuthMethod => (AUTH_METHODS as readonly string[]).includes(name));
}

/** The authentication methods that the keys allow. */
export function allowedMethods(keys: {
  readonly preferredAuthentications?: readonly AuthMethod[] | undefined;
  readonly pubkeyAuthentication?: boolean | undefined;
  readonly passwordAuthentication?: boolean | undefined;
  readonly kbdInteractiveAuthentication?: boolean | undefined;
  readonly numberOfPasswordPrompts?: number | undefined;
}): AuthMethod[] {
  const prompts = keys.numberOfPasswordPrompts !== 0;
  const allowed: Readonly<Record<AuthMethod, boolean>> = {
    publickey: keys.pubkeyAuthentication ?? true,
    password: prompts && (keys.passwordAuthentication ?? true),
    'keyboard-interactive': prompts && (keys.kbdInteractiveAuthentication ?? true),
  };
  return (keys.preferredAuthentications ?? AUTH_METHODS).filter((method) => allowed[method]);
}

/** PubkeyAuthentication. Its values `unbound` and `host-bound` concern agent forwarding, and mean yes here. */
export function readPubkeyAuthentication(raw: unknown): boolean {
  return ['unbound', 'host-bound'].includes(String(raw).toLowerCase()) || readYesNo(raw);
}

/** The default signature algorithms (RFC 8332, RFC 5656, RFC 8709, and those of certificates and security keys). SHA-1 has to be named. */
const KEY_ALGORITHMS = SIGNATURE_ALGORITHMS.filter((name) => name !== 'ssh-rsa');

/**
 * A list of names and patterns, or with a leading `+`, `-` or `^` what is added to, removed from or put before the default.
 */
export function readKeyAlgorithms(raw: unknown): string[] {
  const { modifier, names: patterns } = splitList(readList(raw));
  const bad = patterns.find((pattern) => !/^[\w@.*?!-]+$/.test(pattern));
  if (bad !== undefined)
    throw new BadValue(
      bad === '' ? 'has an empty name: remove a comma' : `has ${show(bad)}, which is not an algorithm`,
    );
  const known = SIGNATURE_ALGORITHMS;
  const unknown = patterns.find(
    (pattern) => !/[*?]/.test(pattern) && !known.includes(pattern) && !pattern.includes('@'),
  );
  if (unknown !== undefined && modifier !== '-' && !ABSENT.test(unknown))
    throw new BadValue(
      `has the unknown algorithm ${show(unknown)}; known are ${known.filter((name) => !name.includes('@')).join(', ')}`,
    );
  const named = known.filter((name) => patterns.some((pattern) => matchesGlob(name, pattern)));
  const others = KEY_ALGORITHMS.filter((name) => !named.includes(name));
  if (modifier === '-') return others;
  return modifier === '' ? named : [...named, ...others];
}

/** A former algorithm, which files may still name. */
const ABSENT = /^ssh-dss$/;

/** The targets of a remote SOCKS proxy: `host:port`, either of which may be `*`. Null is any, empty is none. */
export function readPermitRemoteOpen(raw: unknown): string[] | null {
  const words = Array.isArray(raw) ? raw.map(readText) : readText(raw).trim().split(/\s+/);
  const alone = words.map((word) => word.toLowerCase()).find((word) => word === 'any' || word === 'none');
  if (alone !== undefined && words.length > 1)
    throw new BadValue(`has ${alone} besides other values: it must be the only one`);
  if (alone !== undefined) return alone === 'any' ? null : [];
  return words.map(readDestination);
}

function readDestination(text: string): string {
  const [, inBrackets, host = inBrackets ?? '', word = ''] = /^(?:\[([^\]]*)\]|([^:[\]/]*))[:/](.+)$/.exec(text) ?? [];
  const port = /^\d{1,5}$/.test(word) ? Number(word) : (servicePort(word) ?? 0);
  if (host === '' || (word !== '*' && (port < 1 || port > 65_535)))
    throw new BadValue(`must be destinations such as host:80, [::1]:80 or *:443, not ${show(text)}`);
  return `${bracketed(host)}:${word === '*' ? word : port}`;
}

/** A mask of mode bits, in octal. */
export function readMask(raw: unknown): number {
  if (isEmpty(raw)) throw new BadValue('is empty');
  // YAML reads 0177 as 177, and 0o177 as 127: a number is ambiguous.
  if (typeof raw !== 'string' || !/^0*[0-7]{1,3}$/.test(raw))
    throw new BadValue(`must be an octal mask in quotes, such as '0177', not ${show(raw)}`);
  return Number.parseInt(raw, 8);
}

/** Bytes with an optional unit, or `default`; and an optional duration or `none` (ssh_config(5), RekeyLimit). */
export function readRekeyLimit(raw: unknown): RekeyLimit | null {
  const text = Array.isArray(raw) ? raw.map(readText).join(' ') : typeof raw === 'number' ? String(raw) : readText(raw);
  const [amount = '', time = 'none', ...more] = text.trim().split(/\s+/);
  const bytes = more.length > 0 ? null : readAmount(amount);
  if (bytes === null)
    throw new BadValue(`must be an amount and an optional duration, such as 1G 1h, not ${show(text)}`);
  if (bytes > 0 && bytes < 16) throw new BadValue('must be at least 16 bytes');
  const ms = time.toLowerCase() === 'none' ? 0 : readDuration(time);
  return bytes === 0 && ms === 0 ? null : { bytes: bytes || null, ms: ms || null };
}

/** In bytes, 0 for `default` and `none`; null for another text. Fractions and units are those of scan_scaled(3), which ssh uses. */
function readAmount(text: string): number | null {
  if (['default', 'none'].includes(text.toLowerCase())) return 0;
  const [, number, unit = ''] = /^(\d{1,15}(?:\.\d*)?)([bkmgtpe]?)$/i.exec(text) ?? [];
  return number === undefined
    ? null
    : Math.trunc(Number(number) * 1024 ** 'bkmgtpe'.indexOf(unit.toLowerCase() || 'b'));
}

/** A limit as a file writes it. */
export function printRekeyLimit(limit: RekeyLimit | null): string {
  if (limit === null) return 'default';
  return `${limit.bytes ?? 'default'} ${limit.ms === null ? 'none' : limit.ms / 1000}`;
}

/** A list of `type=duration`, or `none` (ssh_config(5), ChannelTimeout). */
export function readChannelTimeout(raw: unknown): ChannelTimeout[] {
  const words = Array.isArray(raw) ? raw.map(readText) : readText(raw).trim().split(/\s+/);
  if (words.length === 1 && words[0]?.toLowerCase() === 'none') return [];
  return words.map((word) => {
    const [, type = '', time = ''] = /^([\w@.*?-]+)=(.+)$/.exec(word) ?? [];
    if (type === '') throw new BadValue(`must be limits such as forwarded-tcpip=1h, not ${show(word)}`);
    return { type, ms: readDuration(time) };
  });
}

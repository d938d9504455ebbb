import { atOnce } from '../../lib/async/slices.ts';
import { printable } from '../../lib/text.ts';
import { readCertificate } from '../ssh/certificate.ts';
import { isCompleteKey, keyTypeOf } from './key-blob.ts';
import { decodeBase64, parseHosts, type HostMatcher } from './match.ts';

/** One line about a key: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". */
export interface KnownHostsEntry {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly marker: 'none' | 'revoked' | 'cert-authority';
  readonly hosts: HostMatcher;
  readonly keyType: string;
  /** The public key blob, as a server sends it. */
  readonly key: Buffer;
  /** Whether the server is known to keep it for later: it does not announce it yet. */
  readonly spare?: boolean;
}

/** The comment of such a line. */
export const SPARE_COMMENT = 'spare-host-key';

/** A line that was skipped, or, with line 0, a whole file that could not be read. */
export interface KnownHostsProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

export interface KnownHosts {
  readonly entries: readonly KnownHostsEntry[];
  readonly problems: readonly KnownHostsProblem[];
}

/**
 * Reads a known_hosts file. Malformed lines are skipped and reported, as one bad line must not hide the others. Keys of
 * types that tunneld cannot use are kept: they too make a host known.
 */
export function parseKnownHosts(text: string, file: string): KnownHosts {
  return atOnce(readKnownHosts(text, file));
}

/** The same in steps, for inSlices(): a file of 4 MiB takes half a second. */
export function* readKnownHosts(text: string, file: string): Generator<undefined, KnownHosts> {
  const entries: KnownHostsEntry[] = [];
  const problems: KnownHostsProblem[] = [];
  let unreported = 0;
  let line = 0;
  for (const raw of linesOf(text)) {
    line += 1;
    yield;
    const content = significantText(raw);
    if (content === '' && !hidesText(raw)) continue;
    const parsed = parseLine(content);
    if (typeof parsed !== 'string') {
      entries.push({ file, line, ...parsed });
      continue;
    }
    const what = raw.includes('\0') ? WIDE : parsed;
    if (problems.length < MAX_PROBLEMS) problems.push({ file, line, message: `${what}; the line is ignored` });
    else unreported++;
  }
  const last = problems.at(-1);
  if (last !== undefined && unreported > 0) {
    problems.push({ file, line: last.line, message: `${unreported} more lines below are malformed and ignored` });
  }
  return { entries, problems };
}

/** The lines that split('\n') returns, one at a time. */
export function* linesOf(text: string): Generator<string, void> {
  for (let start = 0; start <= text.length;) {
    const end = text.indexOf('\n', start);
    yield text.slice(start, end < 0 ? undefined : end);
    if (end < 0) return;
    start = end + 1;
  }
}

/** Enough to see the problem; a file of another format would fill the log. */
const MAX_PROBLEMS = 20;

/** A line without surrounding blanks and carriage return; empty for a comment. It ends at a NUL, as in OpenSSH. */
function significantText(raw: string): string {
  const nul = raw.indexOf('\0');
  const text = (nul < 0 ? raw : raw.slice(0, nul)).trim();
  return text.startsWith('#') ? '' : text;
}

/** Text of two bytes a character has a NUL after the line end, where other text would end. */
function hidesText(raw: string): boolean {
  return raw.startsWith('\0') && !/^[\0\s]*(?:#|$)/.test(raw);
}

const WIDE = 'the line is UTF-16 text, or no text at all: save the file as UTF-8';

type ParsedLine = Omit<KnownHostsEntry, 'file' | 'line'>;

/**
 * Parses `[@marker] hosts keytype base64 [comment]`, or returns the problem. Unlike OpenSSH, which overlooks the line,
 * it accepts a tab after a marker: a revocation must not be lost for that.
 */
function parseLine(content: string): ParsedLine | string {
  const fields = content.split(BLANKS, MAX_FIELDS);
  const marker = parseMarker(fields[0] ?? '');
  if (marker === null) return `unknown marker ${printable(fields[0] ?? '', 40)}`;
  const [hosts, keyType, base64] = marker === 'none' ? fields : fields.slice(1);
  if (hosts === undefined || keyType === undefined || base64 === undefined) {
    return 'the line is truncated (it should have hosts, key type, key)';
  }
  if (hosts.startsWith('@')) return 'the line has more than one marker';
  if (/^\d+$/.test(keyType)) return 'the key is of SSH protocol 1, which is obsolete';
  const matcher = parseHosts(hosts);
  if (typeof matcher === 'string') return matcher;
  const key = decodeBase64(base64);
  if (key === null || !isCompleteKey(key)) return 'the key is damaged or truncated';
  const actualType = keyTypeOf(key);
  if (actualType !== (RSA_SIGNATURES.has(keyType) ? 'ssh-rsa' : keyType)) {
    return `the line says ${printable(keyType, 64)} but its key is of type ${actualType}`;
  }
  return { marker, hosts: matcher, keyType: actualType, key: markedKey(marker, key), ...ofSpare(marker, fields[3]) };
}

function ofSpare(marker: KnownHostsEntry['marker'], comment: string | undefined): Pick<KnownHostsEntry, 'spare'> {
  return marker === 'none' && comment === SPARE_COMMENT ? { spare: true } : {};
}

/** As in ssh, a certificate stands for the key in it where it is revoked. */
function markedKey(marker: KnownHostsEntry['marker'], key: Buffer): Buffer {
  return marker === 'revoked' ? (readCertificate(key)?.key ?? key) : key;
}

const BLANKS = /[ \t]+/;
/** Marker, hosts, key type, key; of a comment the first word. */
const MAX_FIELDS = 4;
/** Signature algorithms of RSA keys (RFC 8332): no key types, but OpenSSH takes them for `ssh-rsa` here. */
const RSA_SIGNATURES = new Set(['rsa-sha2-256', 'rsa-sha2-512']);

function parseMarker(field: string): KnownHostsEntry['marker'] | null {
  if (!field.startsWith('@')) return 'none';
  if (field === '@revoked') return 'revoked';
  return field === '@cert-authority' ? 'cert-authority' : null;
}

import { matchesGlob } from '../../lib/glob.ts';
import { lowerCase } from '../../lib/text.ts';
import { createHmac } from 'node:crypto';

/** The host field of a line: a list of patterns, or one hashed name. */
export type HostMatcher =
  | { readonly type: 'patterns'; readonly patterns: readonly HostPattern[] }
  | { readonly type: 'hashed'; readonly salt: Buffer; readonly hash: Buffer };

interface HostPattern {
  readonly negated: boolean;
  /** Lower case; `*` and `?` are wildcards, brackets are plain text. */
  readonly glob: string;
}

/**
 * Whether the host field matches a lower-case name (`host`, `[host]:port`). A negated match excludes the whole line.
 */
export function matchesHost(matcher: HostMatcher, name: string): boolean {
  if (matcher.type === 'hashed') return createHmac('sha1', matcher.salt).update(name).digest().equals(matcher.hash);
  const matching = matcher.patterns.filter((pattern) => matchesGlob(name, pattern.glob));
  return matching.length > 0 && !matching.some((pattern) => pattern.negated);
}

/** Reads the host field; a string is the problem with it. */
export function parseHosts(field: string): HostMatcher | string {
  return field.startsWith('|') ? parseHashed(field) : parsePatterns(field);
}

/** Decodes base64, or returns null: like OpenSSH, strict about padding and left-over bits (RFC 4648 section 3.5). */
export function decodeBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && bytes.toString('base64') === text ? bytes : null;
}

/** `|1|salt|hash`, where hash is the HMAC-SHA1 of the name with the salt as its key, and both are base64. */
function parseHashed(field: string): HostMatcher | string {
  const [, version, salt, hash, ...rest] = field.split('|');
  if (version !== '1') return 'the host hash is of an unknown kind (only |1|salt|hash is known)';
  const saltBytes = decodeBase64(salt ?? '');
  const hashBytes = decodeBase64(hash ?? '');
  if (saltBytes?.length !== SHA1_BYTES || hashBytes?.length !== SHA1_BYTES || rest.length > 0) {
    return 'the hashed host name is damaged (|1|salt|hash with 20 bytes each, in base64)';
  }
  return { type: 'hashed', salt: saltBytes, hash: hashBytes };
}

const SHA1_BYTES = 20;

function parsePatterns(field: string): HostMatcher | string {
  if (field.length > MAX_FIELD_LENGTH) return `the list of hosts is longer than ${MAX_FIELD_LENGTH} characters`;
  const patterns = field.split(',').map((text) => {
    const negated = text.startsWith('!');
    return { negated, glob: lowerCase(negated ? text.slice(1) : text) };
  });
  if (patterns.some((pattern) => pattern.glob.length > MAX_PATTERN_LENGTH)) return 'a host pattern is too long';
  return { type: 'patterns', patterns };
}

/** Room for a thousand names. All names of a line are compared at once. */
const MAX_FIELD_LENGTH = 64 * 1024;

/** OpenSSH's limit; a line with a longer pattern matches nothing there (match.c). */
const MAX_PATTERN_LENGTH = 1022;

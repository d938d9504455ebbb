import { TunnelFailure } from '../../model/failure.ts';
import type { HostKeyVerdict, HostQuery } from './check-host-key.ts';
import { fingerprint, keyTypeOf } from './key-blob.ts';
import type { KnownHostsEntry, KnownHostsProblem } from './parse.ts';
import { firstFew } from '../../lib/text.ts';

/** The files in which a host was looked up, and what of them could not be read. */
export interface SearchedFiles {
  readonly files: readonly string[];
  readonly problems: readonly KnownHostsProblem[];
}

/** Why a key is not trusted. `notes` are what else is to be said where the host's key is another one, or it has none. */
export function explainRefusal(
  verdict: Exclude<HostKeyVerdict, { type: 'known' }>,
  query: HostQuery,
  key: Buffer,
  { files, problems }: SearchedFiles,
  notes: readonly string[],
): TunnelFailure {
  const shown = shownBy(query, key);
  switch (verdict.type) {
    case 'revoked':
      return new TunnelFailure('host-key-revoked', `${shown}, which ${where(verdict.entry)} revokes`);
    case 'changed':
      return new TunnelFailure(
        'host-key-changed',
        `${shown}, but the known key is ${listed(verdict.entries, describeEntry)}${inBrackets(notes)}`,
      );
    case 'unknown': {
      const looked = files.length === 0 ? 'any file' : files.join(', ');
      return new TunnelFailure(
        'host-key-unknown',
        `${shown}, which is not in ${looked}${inBrackets([...firstOf(problems), ...notes])}`,
      );
    }
  }
}

function inBrackets(notes: readonly string[]): string {
  return notes.length === 0 ? '' : ` (${notes.join('; ')})`;
}

/** The log has them all; whole files come first, for more can be in them. */
function firstOf(problems: readonly KnownHostsProblem[]): readonly string[] {
  const sorted = problems.toSorted((a, b) => Number(b.line === 0) - Number(a.line === 0));
  return firstFew(sorted.map(describeProblem), MAX_NAMED);
}

const MAX_NAMED = 3;

export function describeProblem({ file, line, message }: KnownHostsProblem): string {
  return line === 0 ? `${file} ${message}` : `${file}:${line}: ${message}`;
}

/** A file can have thousands of lines for one host, and a certificate many names. */
export function listed<T>(items: readonly T[], describe: (item: T) => string): string {
  const first = items.slice(0, MAX_LISTED).map(describe);
  const more = items.length - first.length;
  return `${first.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}

const MAX_LISTED = 8;

export function shownBy(query: HostQuery, key: Buffer): string {
  return `${query.name} shows ${keyTypeOf(key)} ${fingerprint(key)}`;
}

export function describeEntry(entry: KnownHostsEntry): string {
  return `${entry.keyType} ${fingerprint(entry.key)} (${where(entry)})`;
}

/** The place of the line. */
export function where(entry: KnownHostsEntry): string {
  return `${entry.file}:${entry.line}`;
}

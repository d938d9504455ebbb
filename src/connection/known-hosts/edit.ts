import { type HostMatcher, matchesHost } from './match.ts';
import { type KnownHostsEntry, linesOf, readKnownHosts } from './parse.ts';

export interface KnownHostsEdit {
  /** Lines to add, without a line end; those that are present are not added again. */
  readonly add: readonly string[];
  readonly remove: (entry: KnownHostsEntry) => boolean;
}

/**
 * In steps, for inSlices(): the text of a known_hosts file after the edit. Every other line, comments and unreadable
 * ones included, stays as it is.
 */
export function* editKnownHosts(text: string, { add, remove }: KnownHostsEdit): Generator<undefined, string> {
  const removed = new Set<number>();
  for (const entry of (yield* readKnownHosts(text, '')).entries) {
    yield;
    if (remove(entry)) removed.add(entry.line);
  }
  const kept: string[] = [];
  let number = 0;
  for (const line of linesOf(text)) {
    yield;
    number += 1;
    if (!removed.has(number)) kept.push(line);
  }
  return `${kept.join('\n')}${yield* missingLines(kept.join('\n'), add)}`;
}

/** In steps: what to append to a text so that it contains all of these lines. */
export function* missingLines(text: string, wanted: readonly string[]): Generator<undefined, string> {
  const missing = new Set(wanted);
  for (const line of linesOf(text)) {
    yield;
    missing.delete(line.trim());
  }
  if (missing.size === 0) return '';
  const separator = text === '' || text.endsWith('\n') ? '' : '\n';
  return `${separator}${[...missing].join('\n')}\n`;
}

/**
 * Whether a line is about this name alone. A line with several names, with wildcards or a negation concerns other hosts
 * too, and is not touched, as in OpenSSH (clientloop.c, hostkeys_find).
 */
export function isAboutOnly(hosts: HostMatcher, name: string): boolean {
  if (hosts.type === 'hashed') return matchesHost(hosts, name);
  const [pattern] = hosts.patterns;
  return hosts.patterns.length === 1 && pattern !== undefined && !pattern.negated && pattern.glob === name;
}

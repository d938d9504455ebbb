import { type HostMatcher, matchesHost } from './match.ts';
import { type KnownHostsEntry, linesOf, readKnownHosts } from './parse.ts';

export interface KnownHostsEdit {
  /** Lines to add, without a line end; those that the text has already are not added again. */
  readonly add: readonly string[];
  /** Whether this line is to go. */
  readonly remove: (entry: KnownHostsEntry) => boolean;
}

/**
 * The text of a known_hosts file after the edit, in steps, for inSlices(); every other line, comments and unreadable ones included,
 * stays as it is.
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

/** In steps: what has to be added to a text so that all of these lines stand in it. */
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
 * Whether a line is about this name alone. One with several names, with wildcards or a negation says something about other hosts
 * too, and is left to people, as OpenSSH leaves it (clientloop.c, hostkeys_find).
 */
export function isAboutOnly(hosts: HostMatcher, name: string): boolean {
  if (hosts.type === 'hashed') return matchesHost(hosts, name);
  const [pattern] = hosts.patterns;
  return hosts.patterns.length === 1 && pattern !== undefined && !pattern.negated && pattern.glob === name;
}

import { type HostMatcher, matchesHost } from './known-hosts-match.ts';
import { type KnownHostsEntry, parseKnownHosts } from './known-hosts-parse.ts';

export interface KnownHostsEdit {
  /** Lines to add, without a line end; those that the text has already are not added again. */
  readonly add: readonly string[];
  /** Whether this line is to go. */
  readonly remove: (entry: KnownHostsEntry) => boolean;
}

/** The text of a known_hosts file after the edit; every other line, comments and unreadable ones included, stays as it is. */
export function editKnownHosts(text: string, { add, remove }: KnownHostsEdit): string {
  const removed = new Set(
    parseKnownHosts(text, '')
      .entries.filter(remove)
      .map(({ line }) => line),
  );
  const lines = text.split('\n').filter((_, index) => !removed.has(index + 1));
  const present = new Set(lines.map((line) => line.trim()));
  const missing = [...new Set(add)].filter((line) => !present.has(line));
  const kept = lines.join('\n');
  if (missing.length === 0) return kept;
  const separator = kept === '' || kept.endsWith('\n') ? '' : '\n';
  return `${kept}${separator}${missing.join('\n')}\n`;
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

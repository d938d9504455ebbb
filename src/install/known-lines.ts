import { readFile } from 'node:fs/promises';
import { errorCode } from '../lib/text.ts';
import { hostQuery, knownKeyTypes } from '../tunnel/known-hosts.ts';
import { matchesHost } from '../tunnel/known-hosts-match.ts';
import { parseKnownHosts } from '../tunnel/known-hosts-parse.ts';
import type { ServerSpec } from '../tunnel/spec.ts';

/** The lines of a server's known_hosts files that say something about it, as they stand there; `known` is whether it can be told by them. */
export async function linesAbout(
  server: Pick<ServerSpec, 'host' | 'port' | 'hostKeyAlias' | 'userKnownHostsFiles'>,
): Promise<{ readonly lines: readonly string[]; readonly known: boolean }> {
  const query = hostQuery(server.host, server.port, server.hostKeyAlias);
  const names = [query.name, ...(query.withoutPort === null ? [] : [query.withoutPort])];
  const lines: string[] = [];
  let known = false;
  for (const file of server.userKnownHostsFiles) {
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return '';
      throw error;
    });
    const { entries } = parseKnownHosts(text, file);
    const raw = text.split('\n');
    for (const entry of entries)
      if (names.some((name) => matchesHost(entry.hosts, name))) lines.push(raw[entry.line - 1]!.trim());
    known ||= knownKeyTypes(entries, query).length > 0;
  }
  return { lines: [...new Set(lines)], known };
}

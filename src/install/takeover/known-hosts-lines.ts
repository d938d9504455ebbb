import { hostQuery, knownKeyTypes } from '../../connection/known-hosts/check-host-key.ts';
import { authoritiesOf } from '../../connection/known-hosts/host-certificate.ts';
import { matchesHost } from '../../connection/known-hosts/match.ts';
import { parseKnownHosts } from '../../connection/known-hosts/parse.ts';
import type { ServerSpec } from '../../model/spec.ts';

/** A known_hosts file with its content. */
export interface KnownHostsText {
  readonly file: string;
  readonly text: string;
}

/** The lines about a server, unchanged; `known` is whether they hold a key for it. */
export function linesOfServer(
  server: Pick<ServerSpec, 'host' | 'port' | 'hostKeyAlias'>,
  texts: readonly KnownHostsText[],
): { readonly lines: readonly string[]; readonly known: boolean } {
  const query = hostQuery(server.host, server.port, server.hostKeyAlias);
  const names = [query.name, ...(query.withoutPort === null ? [] : [query.withoutPort])];
  const lines: string[] = [];
  let known = false;
  for (const { file, text } of texts) {
    const { entries } = parseKnownHosts(text, file);
    const raw = text.split('\n');
    for (const entry of entries)
      if (names.some((name) => matchesHost(entry.hosts, name))) lines.push(raw[entry.line - 1]!.trim());
    known ||= knownKeyTypes(entries, query).length > 0 || authoritiesOf(entries, query).length > 0;
  }
  return { lines: [...new Set(lines)], known };
}

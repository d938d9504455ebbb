import { formatAddress } from '../model/endpoint.ts';
import type { ProxyEntry, ServerSpec, TunnelSpec } from '../model/spec.ts';
import type { DialSpec } from './dial.ts';

/** The machine that is dialled first. */
export function firstHop({ jumps, entry, ...spec }: TunnelSpec): Pick<ServerSpec, keyof DialSpec | 'connectTimeoutMs'> {
  const first = jumps[0] ?? spec;
  return entry.type === 'http' || entry.type === 'socks5' ? { ...first, host: entry.host, port: entry.port } : first;
}

/**
 * Identifies the server that counts a connection, where that is not the machine that is dialled; with the user that the
 * proxy is asked as.
 */
export function serverBehindProxy({ entry, jumps, ...spec }: TunnelSpec): string | undefined {
  return entry.type === 'http' || entry.type === 'socks5' ? behindProxyKey(entry, jumps[0] ?? spec) : undefined;
}

/** A proxy that refuses one user may accept another. */
export function behindProxyKey(
  { user, passwordFile }: ProxyEntry,
  { host, port }: Pick<ServerSpec, 'host' | 'port'>,
): string {
  return [user ?? '', passwordFile ?? '', formatAddress({ host, port })].join(' ');
}

import { wrongUsage } from '../../lib/user-error.ts';

/** In place of a port of -R: the next free one of the server's range. */
export const AUTO = 'auto';

/** The server's port of a forward as -R takes it; null for a Unix socket, and for port 0, which the server chooses at each login. */
export function forwardPort(forward: string): number | typeof AUTO | null {
  const [, , port] = FORWARD.exec(forward) ?? [];
  if (port === AUTO) return AUTO;
  return port === undefined || Number(port) === 0 ? null : Number(port);
}

/** A port of the server, as a person types it. Throws a UserError. */
export function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw wrongUsage(`${JSON.stringify(text)} is no port: it must be a whole number from 1 to 65535`);
}

/** The same forward with this port of the server. */
export function withPort(forward: string, port: number): string {
  return forward.replace(FORWARD, (_, address: string | undefined, _port, target: string) =>
    [address, String(port), target].filter((part) => part !== undefined).join(':'),
  );
}

/** `[bind_address:]port:target`. An address that looks like a port is none: the shortest beginning counts. */
const FORWARD = /^(?:(\[[^\]]*\]|[^:/[\]]*):)??(auto|\d+):(.+)$/;

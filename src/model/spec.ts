import type { FieldsOf, SERVER_OPTIONS, TUNNEL_OPTIONS } from './options.ts';

export type { ChannelTimeout, ConnectLimit, RekeyLimit } from './options.ts';

/** One SSH server and how to log in to it: complete, checked, nothing left to default. Times are milliseconds, paths are absolute. */
export interface ServerSpec extends FieldsOf<typeof SERVER_OPTIONS> {
  /** False where `identityFiles` is OpenSSH's own list, of which most do not exist. */
  readonly identityFilesConfigured: boolean;
}

/** One tunnel as the rest of the program knows it. */
export interface TunnelSpec extends ServerSpec, FieldsOf<typeof TUNNEL_OPTIONS> {
  readonly name: string;
  /** Servers to go through, the nearest first. */
  readonly jumps: readonly ServerSpec[];
  /** How the first of these servers is reached. */
  readonly entry: Entry;
  readonly forwards: readonly ForwardSpec[];
}

/** The first step on the way to a server: TCP, a proxy, or a program that speaks for it. */
export type Entry =
  | { readonly type: 'direct' }
  | ProxyEntry
  /** The whole command for sh, nothing left to expand. */
  | { readonly type: 'command'; readonly command: string };

export interface ProxyEntry {
  readonly type: 'http' | 'socks5';
  readonly host: string;
  readonly port: number;
  readonly user: string | null;
  readonly passwordFile: string | null;
}

/**
 * One forward. Remote: the server listens, the device connects to the target. Local and dynamic: the device listens, the server
 * connects. A target that is `socks` is named by each visitor.
 */
export interface ForwardSpec {
  readonly kind: 'remote' | 'local' | 'dynamic';
  readonly listen: Endpoint;
  readonly target: Endpoint | SocksTarget;
}

export interface SocksTarget {
  readonly type: 'socks';
}

/**
 * A TCP address or a Unix socket. As a remote listener, `host` is the text sent to the server (RFC 4254 section 7.1):
 * `localhost` unless the user wrote another, `''` for all addresses; port 0 lets the server choose.
 */
export type Endpoint =
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }
  | { readonly type: 'unix'; readonly path: string };

/**
 * An address of loopback (Linux has a whole network of them) that sshd never listens on for `localhost` or 127.0.0.1: who answers there
 * listens on all addresses.
 */
export const WILDCARD_PROBE_HOST = '127.0.0.2';

/** An endpoint as people write it: `localhost:8080`, `[::1]:80`, `*:8080`, `/run/a.sock`, `socks`. */
export function formatEndpoint(endpoint: Endpoint | SocksTarget): string {
  if (endpoint.type === 'socks') return 'socks';
  if (endpoint.type === 'unix') return endpoint.path;
  return `${formatHost(endpoint.host)}:${endpoint.port}`;
}

function formatHost(host: string): string {
  if (host === '') return '*';
  return host.includes(':') ? `[${host}]` : host;
}

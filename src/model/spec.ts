import type { Endpoint, SocksTarget } from './endpoint.ts';
import type { Redundancy } from './redundancy.ts';
import type { FieldsOf, SERVER_OPTIONS, TUNNEL_OPTIONS } from './options.ts';

export type { ChannelTimeout, ConnectLimit, RekeyLimit } from './options.ts';

/**
 * One SSH server and how to log in to it: complete and checked, with nothing left to default. Times are in
 * milliseconds, paths absolute.
 */
export interface ServerSpec extends FieldsOf<typeof SERVER_OPTIONS> {
  /** False where `identityFiles` is OpenSSH's own list, of which most do not exist. */
  readonly identityFilesConfigured: boolean;
}

/** What a tunnel may be called. */
export const TUNNEL_NAME = /^[a-z0-9][a-z0-9_-]*$/;

/** One tunnel, complete and checked. */
export interface TunnelSpec extends ServerSpec, FieldsOf<typeof TUNNEL_OPTIONS> {
  readonly name: string;
  /** Servers to go through, the nearest first. */
  readonly jumps: readonly ServerSpec[];
  /** How the first of these servers is reached. */
  readonly entry: Entry;
  readonly forwards: readonly ForwardSpec[];
  /** Where the tunnel has several servers: what they are to each other; absent with one. */
  readonly redundancy?: Redundancy;
}

/** The first step on the way to a server: TCP, a proxy, or a program whose input and output lead there. */
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
 * One forward. Remote: the server listens, the device connects to the target. Local and dynamic: the device listens,
 * the server connects. With the target `socks` each visitor names its own.
 */
export interface ForwardSpec {
  readonly kind: 'remote' | 'local' | 'dynamic';
  readonly listen: Endpoint;
  readonly target: Endpoint | SocksTarget;
  /** Of a remote forward: the version of the PROXY protocol by which its target learns where a visitor comes from; absent, none. */
  readonly proxyProtocol?: ProxyProtocol;
}

/** The option of ssh for each kind of forward. */
export const FORWARD_FLAGS = { remote: '-R', local: '-L', dynamic: '-D' } as const;

export const PROXY_PROTOCOLS = ['v1', 'v2'] as const;
export type ProxyProtocol = (typeof PROXY_PROTOCOLS)[number];

/** One SSH server and how to log in to it: complete, checked, nothing left to default. Times are milliseconds. */
export interface ServerSpec {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly addressFamily: 'any' | 'inet' | 'inet6';
  readonly bindAddress: string | null;
  /** The interface whose address connections come from, where `bindAddress` names none. */
  readonly bindInterface: string | null;
  readonly connectTimeoutMs: number;
  /** The server's limit on new connections from one address, where it was said; else it is found out. */
  readonly connectLimit: ConnectLimit | null;
  readonly tcpKeepAlive: boolean;

  /** Absolute paths, in the order in which they are tried. */
  readonly identityFiles: readonly string[];
  /** False where `identityFiles` is OpenSSH's own list, of which most do not exist. */
  readonly identityFilesConfigured: boolean;
  readonly identitiesOnly: boolean;
  /** The agent's socket, or null for none. */
  readonly identityAgent: string | null;
  readonly passphraseFile: string | null;
  readonly passwordFile: string | null;
  /** How to log in, in order of preference. */
  readonly authentications: readonly AuthMethod[];
  /** Signature algorithms that our keys may be used with, or null for all that there are. */
  readonly pubkeyAcceptedAlgorithms: readonly string[] | null;
  /** Bits of the smallest RSA key that is used or accepted, ours and the server's. */
  readonly requiredRSASize: number;

  readonly userKnownHostsFiles: readonly string[];
  readonly globalKnownHostsFiles: readonly string[];
  readonly strictHostKeyChecking: 'yes' | 'accept-new' | 'no';
  readonly hostKeyAlias: string | null;
  /** Lists of host keys that no server may show. */
  readonly revokedHostKeys: readonly string[];
  /** Whether the server's address is looked up in known_hosts too. */
  readonly checkHostIP: boolean;
  readonly updateHostKeys: boolean;

  /** 0 means never. */
  readonly serverAliveIntervalMs: number;
  readonly serverAliveCountMax: number;

  /** Whether to ask for zlib@openssh.com. */
  readonly compression: boolean;
  /** When the keys of a connection are exchanged anew, where not the server alone decides that. */
  readonly rekeyLimit: RekeyLimit | null;
  /** Names in order of preference, or null for the default. */
  readonly ciphers: readonly string[] | null;
  readonly kexAlgorithms: readonly string[] | null;
  readonly macs: readonly string[] | null;
  readonly hostKeyAlgorithms: readonly string[] | null;
}

/** Null is no limit. */
export interface RekeyLimit {
  readonly bytes: number | null;
  readonly ms: number | null;
}

/** `type` is a pattern for OpenSSH's names of channels, or `global` for all together; 0 milliseconds are no limit. */
export interface ChannelTimeout {
  readonly type: string;
  readonly ms: number;
}

/** The ways to log in that this program has, as RFC 4252 and RFC 4256 name them. */
export type AuthMethod = 'publickey' | 'password' | 'keyboard-interactive';

/** One tunnel as the rest of the program knows it. */
export interface TunnelSpec extends ServerSpec {
  readonly name: string;
  /** Whether the same local port is used again and again, so that a server's kernel lets go of a dead connection of ours. */
  readonly sourcePort: 'sticky' | 'any';
  /** Servers to go through, the nearest first. */
  readonly jumps: readonly ServerSpec[];
  /** How the first of these servers is reached. */
  readonly entry: Entry;
  readonly exitOnForwardFailure: boolean;
  /** Whether listeners are seen to lead here, and targets to answer: never, where that can be seen, or else the tunnel is not up. */
  readonly verify: 'auto' | 'required' | 'off';
  readonly forwards: readonly ForwardSpec[];
  /** Whether a local listener that is a Unix socket replaces what a dead program left there. */
  readonly streamLocalBindUnlink: boolean;
  /** The mode bits that a local listener's Unix socket must not have. */
  readonly streamLocalBindMask: number;
  /** What visitors of a remote SOCKS proxy may reach: `host:port`, either of which may be `*`. Null is anything. */
  readonly permitRemoteOpen: readonly string[] | null;
  /** How long connections may be idle; of those that match one, the first counts. */
  readonly channelTimeout: readonly ChannelTimeout[];
  readonly reconnect: { readonly minMs: number; readonly maxMs: number };
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
export const TELLTALE = '127.0.0.2';

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

/** At most `count` connections begin within `windowMs`. */
export interface ConnectLimit {
  readonly count: number;
  readonly windowMs: number;
}

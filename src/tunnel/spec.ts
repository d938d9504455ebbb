/** One tunnel as the rest of the program knows it: complete, checked, nothing left to default. Times are milliseconds. */
export interface TunnelSpec {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly addressFamily: 'any' | 'inet' | 'inet6';
  readonly bindAddress: string | null;
  /** Whether the same local port is used again and again, so that a server's kernel lets go of a dead connection of ours. */
  readonly sourcePort: 'sticky' | 'any';
  readonly connectTimeoutMs: number;
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

  readonly userKnownHostsFiles: readonly string[];
  readonly globalKnownHostsFiles: readonly string[];
  readonly strictHostKeyChecking: 'yes' | 'accept-new' | 'no';
  readonly hostKeyAlias: string | null;
  readonly updateHostKeys: boolean;

  /** 0 means never. */
  readonly serverAliveIntervalMs: number;
  readonly serverAliveCountMax: number;

  /** Names in order of preference, or null for the default. */
  readonly ciphers: readonly string[] | null;
  readonly kexAlgorithms: readonly string[] | null;
  readonly macs: readonly string[] | null;
  readonly hostKeyAlgorithms: readonly string[] | null;

  readonly exitOnForwardFailure: boolean;
  readonly forwards: readonly ForwardSpec[];
  readonly reconnect: { readonly minMs: number; readonly maxMs: number };
}

/** One remote forward: the server listens, the device connects to the target. */
export interface ForwardSpec {
  readonly kind: 'remote';
  readonly listen: Endpoint;
  readonly target: Endpoint;
}

/**
 * A TCP address or a Unix socket. As a listener, `host` is the text sent to the server (RFC 4254 section 7.1):
 * `localhost` unless the user wrote another, `''` for all addresses; port 0 lets the server choose.
 */
export type Endpoint =
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }
  | { readonly type: 'unix'; readonly path: string };

/** An endpoint as people write it: `localhost:8080`, `[::1]:80`, `*:8080`, `/run/a.sock`. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.type === 'unix') return endpoint.path;
  return `${formatHost(endpoint.host)}:${endpoint.port}`;
}

function formatHost(host: string): string {
  if (host === '') return '*';
  return host.includes(':') ? `[${host}]` : host;
}

import type { TunnelSpec } from '../../model/spec.ts';

/** What two tunnels must have in common, bit by bit, to be carried by one connection. */
export function loginOf(spec: TunnelSpec): string {
  return JSON.stringify(CONNECTION_KEYS.map((key) => spec[key]));
}

/** Of each key of a tunnel: whether the connection and its login depend on it, or only what this tunnel does with them. */
export const PART_OF: Readonly<Record<keyof TunnelSpec, 'connection' | 'tunnel'>> = {
  host: 'connection',
  port: 'connection',
  user: 'connection',
  addressFamily: 'connection',
  bindAddress: 'connection',
  bindInterface: 'connection',
  connectTimeoutMs: 'connection',
  connectLimit: 'connection',
  tcpKeepAlive: 'connection',
  sourcePort: 'connection',
  jumps: 'connection',
  entry: 'connection',

  identityFiles: 'connection',
  identityFilesConfigured: 'connection',
  identitiesOnly: 'connection',
  identityAgent: 'connection',
  passphraseFile: 'connection',
  passwordFile: 'connection',
  authentications: 'connection',
  pubkeyAcceptedAlgorithms: 'connection',
  requiredRSASize: 'connection',

  userKnownHostsFiles: 'connection',
  globalKnownHostsFiles: 'connection',
  strictHostKeyChecking: 'connection',
  hostKeyAlias: 'connection',
  revokedHostKeys: 'connection',
  checkHostIP: 'connection',
  updateHostKeys: 'connection',

  serverAliveIntervalMs: 'connection',
  serverAliveCountMax: 'connection',
  compression: 'connection',
  rekeyLimit: 'connection',
  ciphers: 'connection',
  kexAlgorithms: 'connection',
  macs: 'connection',
  hostKeyAlgorithms: 'connection',

  name: 'tunnel',
  forwards: 'tunnel',
  exitOnForwardFailure: 'tunnel',
  verify: 'tunnel',
  streamLocalBindUnlink: 'tunnel',
  streamLocalBindMask: 'tunnel',
  permitRemoteOpen: 'tunnel',
  channelTimeout: 'tunnel',
  reconnect: 'tunnel',
};

const CONNECTION_KEYS = (Object.keys(PART_OF) as (keyof TunnelSpec)[]).filter((key) => PART_OF[key] === 'connection');

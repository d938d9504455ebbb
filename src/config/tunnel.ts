import { join } from 'node:path';
import type { TunnelSpec } from '../tunnel/spec.ts';
import type { ConfigEnvironment } from './environment.ts';
import { DEFAULT_RECONNECT, type TunnelKeys } from './schema.ts';

/** A tunnel with every default filled in. */
export function completeTunnel(name: string, keys: TunnelKeys, env: ConfigEnvironment): TunnelSpec {
  return {
    name,
    host: keys.host ?? name,
    port: keys.port ?? 22,
    user: keys.user ?? env.userName,
    addressFamily: keys.addressFamily ?? 'any',
    bindAddress: keys.bindAddress ?? null,
    sourcePort: keys.sourcePort ?? 'sticky',
    connectTimeoutMs: keys.connectTimeout ?? 10_000,
    tcpKeepAlive: keys.tcpKeepAlive ?? true,

    identityFiles: keys.identityFile ?? OPENSSH_IDENTITIES.map((file) => join(env.home, '.ssh', file)),
    identityFilesConfigured: keys.identityFile !== undefined,
    identitiesOnly: keys.identitiesOnly ?? false,
    identityAgent: keys.identityAgent === undefined ? env.env['SSH_AUTH_SOCK'] || null : keys.identityAgent,
    passphraseFile: keys.passphraseFile ?? null,
    passwordFile: keys.passwordFile ?? null,

    userKnownHostsFiles: keys.userKnownHostsFile ?? [join(env.home, '.ssh/known_hosts')],
    globalKnownHostsFiles: keys.globalKnownHostsFile ?? ['/etc/ssh/ssh_known_hosts'],
    strictHostKeyChecking: keys.strictHostKeyChecking ?? 'yes',
    hostKeyAlias: keys.hostKeyAlias ?? null,
    updateHostKeys: keys.updateHostKeys ?? true,

    serverAliveIntervalMs: keys.serverAliveInterval ?? 15_000,
    serverAliveCountMax: keys.serverAliveCountMax ?? 3,

    ciphers: keys.ciphers ?? null,
    kexAlgorithms: keys.kexAlgorithms ?? null,
    macs: keys.macs ?? null,
    hostKeyAlgorithms: keys.hostKeyAlgorithms ?? null,

    exitOnForwardFailure: keys.exitOnForwardFailure ?? true,
    forwards: keys.remoteForward ?? [],
    reconnect: keys.reconnect ?? DEFAULT_RECONNECT,
  };
}

/** The keys that ssh tries by itself, in its order (ssh_config(5), IdentityFile). */
const OPENSSH_IDENTITIES = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk', 'id_dsa'];

import { join } from 'node:path';
import type { Entry, ForwardSpec, ServerSpec, TunnelSpec } from '../../model/spec.ts';
import { canonicalAddress } from '../values/address.ts';
import { defaultAlgorithms } from '../values/algorithms.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import type { WrittenForward } from '../values/forward.ts';
import type { JumpKeys } from '../schema/jump.ts';
import { allowedMethods } from '../values/restrictions.ts';
import { DEFAULT_RECONNECT, type TunnelKeys } from '../schema/schema.ts';

/** A tunnel with every default filled in. `host` is where its keys name none. */
export function completeTunnel(
  name: string,
  host: string,
  keys: TunnelKeys,
  way: { readonly jumps: readonly ServerSpec[]; readonly entry: Entry },
  env: ConfigEnvironment,
): TunnelSpec {
  const forwards = [...(keys.remoteForward ?? []), ...(keys.localForward ?? []), ...(keys.dynamicForward ?? [])];
  return {
    name,
    ...completeServer(host, keys, env),
    sourcePort: keys.sourcePort ?? 'sticky',
    jumps: way.jumps,
    entry: way.entry,
    exitOnForwardFailure: keys.exitOnForwardFailure ?? true,
    verify: keys.verify ?? 'auto',
    forwards: forwards.map((forward) => completeForward(forward, keys.gatewayPorts ?? false)),
    streamLocalBindUnlink: keys.streamLocalBindUnlink ?? false,
    streamLocalBindMask: keys.streamLocalBindMask ?? 0o177,
    permitRemoteOpen: keys.permitRemoteOpen ?? null,
    channelTimeout: keys.channelTimeout ?? [],
    reconnect: keys.reconnect ?? DEFAULT_RECONNECT,
  };
}

/** A server with every default filled in. */
export function completeServer(host: string, keys: Partial<JumpKeys>, env: ConfigEnvironment): ServerSpec {
  return {
    host: canonicalAddress(keys.host ?? host),
    port: keys.port ?? 22,
    user: keys.user ?? env.userName,
    addressFamily: keys.addressFamily ?? 'any',
    bindAddress: keys.bindAddress ?? null,
    bindInterface: keys.bindInterface ?? null,
    connectTimeoutMs: keys.connectTimeout ?? 10_000,
    connectLimit: keys.connectLimit ?? null,
    tcpKeepAlive: keys.tcpKeepAlive ?? true,

    identityFiles: keys.identityFile ?? OPENSSH_IDENTITIES.map((file) => join(env.home, '.ssh', file)),
    identityFilesConfigured: keys.identityFile !== undefined,
    identitiesOnly: keys.identitiesOnly ?? false,
    identityAgent: keys.identityAgent === undefined ? env.env['SSH_AUTH_SOCK'] || null : keys.identityAgent,
    passphraseFile: keys.passphraseFile ?? null,
    passwordFile: keys.passwordFile ?? null,
    authentications: allowedMethods(keys),
    pubkeyAcceptedAlgorithms: keys.pubkeyAcceptedAlgorithms ?? null,
    requiredRSASize: Math.max(keys.requiredRSASize ?? 0, SMALLEST_RSA),

    userKnownHostsFiles: keys.userKnownHostsFile ?? [join(env.home, '.ssh/known_hosts')],
    globalKnownHostsFiles: keys.globalKnownHostsFile ?? ['/etc/ssh/ssh_known_hosts'],
    strictHostKeyChecking: keys.strictHostKeyChecking ?? 'yes',
    hostKeyAlias: keys.hostKeyAlias ?? null,
    updateHostKeys: keys.updateHostKeys ?? true,
    revokedHostKeys: keys.revokedHostKeys ?? [],
    checkHostIP: keys.checkHostIP ?? false,

    serverAliveIntervalMs: keys.serverAliveInterval ?? 15_000,
    serverAliveCountMax: keys.serverAliveCountMax ?? 3,

    compression: keys.compression ?? false,
    rekeyLimit: keys.rekeyLimit ?? null,
    ciphers: keys.ciphers ?? (env.aes ? null : defaultAlgorithms('ciphers', env.aes)),
    kexAlgorithms: keys.kexAlgorithms ?? null,
    macs: keys.macs ?? null,
    hostKeyAlgorithms: keys.hostKeyAlgorithms ?? null,
  };
}

/** SSH_RSA_MINIMUM_MODULUS_SIZE of OpenSSH's sshkey.h. */
const SMALLEST_RSA = 1024;

/** The keys that ssh tries by itself, in its order (ssh_config(5), IdentityFile). */
const OPENSSH_IDENTITIES = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk', 'id_dsa'];

/** GatewayPorts opens to the world what names no address to listen on (ssh_config(5)); the server has its own for its side. */
function completeForward({ bound, ...forward }: WrittenForward, gatewayPorts: boolean): ForwardSpec {
  const { kind, listen } = forward;
  if (kind === 'remote' || bound || listen.type === 'unix' || !gatewayPorts) return forward;
  return { ...forward, listen: { ...listen, host: '' } };
}

import { stringify } from 'yaml';
import {
  type Endpoint,
  type Entry,
  formatEndpoint,
  type ForwardSpec,
  type ServerSpec,
  type TunnelSpec,
} from '../model/spec.ts';
import { printConnectLimit } from './values/connect-limit.ts';
import { completeServer, completeTunnel } from './resolve/defaults.ts';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from './input/environment.ts';
import { printRekeyLimit } from './values/restrictions.ts';

/** A configuration file that means the same as these tunnels, whatever ssh_config says: what differs from the defaults. */
export function printConfig({ tunnels, log }: Config, env: ConfigEnvironment): string {
  const document = {
    tunnels: Object.fromEntries(tunnels.map((tunnel) => [tunnel.name, tunnelKeys(tunnel, env)])),
    ...(log.level === 'info' ? {} : { log: { level: log.level } }),
  };
  return stringify(document, { lineWidth: 0 });
}

/** The same with all that is not a tunnel's, so that nothing depends on who reads it. */
export function printWhole(config: Config, env: ConfigEnvironment): string {
  const { network, log, control, stateDirectory } = config;
  const document = {
    tunnels: Object.fromEntries(config.tunnels.map((tunnel) => [tunnel.name, tunnelKeys(tunnel, env)])),
    network: { ping: network.ping },
    log: { level: log.level, ...(log.file === null ? {} : { file: log.file }) },
    control: { socket: control.socket },
    stateDirectory,
  };
  return stringify(document, { lineWidth: 0 });
}

function tunnelKeys(spec: TunnelSpec, env: ConfigEnvironment): Record<string, unknown> {
  const defaults = completeTunnel(spec.name, spec.host, {}, { jumps: [], entry: { type: 'direct' } }, env);
  const of = (kind: ForwardSpec['kind']) => spec.forwards.filter((forward) => forward.kind === kind).map(forward);
  return {
    ...serverKeys(spec, env),
    ...changed(spec, defaults, {
      sourcePort: spec.sourcePort,
      exitOnForwardFailure: spec.exitOnForwardFailure,
      verify: spec.verify,
      streamLocalBindUnlink: spec.streamLocalBindUnlink,
      streamLocalBindMask: spec.streamLocalBindMask.toString(8).padStart(4, '0'),
      channelTimeout: spec.channelTimeout.map(({ type, ms }) => `${type}=${ms / 1000}`),
      permitRemoteOpen: spec.permitRemoteOpen?.length ? spec.permitRemoteOpen : 'none',
    }),
    ...(spec.jumps.length === 0 ? {} : { proxyJump: spec.jumps.map((jump) => serverKeys(jump, env)) }),
    ...entryKeys(spec.entry),
    ...someOf('remoteForward', of('remote')),
    ...someOf('localForward', of('local')),
    ...someOf('dynamicForward', of('dynamic')),
    ...(spec.reconnect.minMs === defaults.reconnect.minMs && spec.reconnect.maxMs === defaults.reconnect.maxMs
      ? {}
      : { reconnect: { min: spec.reconnect.minMs / 1000, max: spec.reconnect.maxMs / 1000 } }),
    sshConfig: 'none',
  };
}

function serverKeys(spec: ServerSpec, env: ConfigEnvironment): Record<string, unknown> {
  const defaults = completeServer(spec.host, {}, env);
  const written = {
    port: spec.port,
    // The user of a service may be another one than today's.
    user: spec.user,
    addressFamily: spec.addressFamily,
    bindAddress: spec.bindAddress,
    bindInterface: spec.bindInterface,
    connectTimeoutMs: spec.connectTimeoutMs / 1000,
    connectLimit: printConnectLimit(spec.connectLimit),
    tcpKeepAlive: spec.tcpKeepAlive,
    identitiesOnly: spec.identitiesOnly,
    identityAgent: spec.identityAgent ?? 'none',
    passphraseFile: spec.passphraseFile,
    passwordFile: spec.passwordFile,
    pubkeyAcceptedAlgorithms: spec.pubkeyAcceptedAlgorithms?.join(',') || NOTHING_OF_OURS,
    requiredRSASize: spec.requiredRSASize,
    userKnownHostsFiles: paths(spec.userKnownHostsFiles),
    globalKnownHostsFiles: paths(spec.globalKnownHostsFiles),
    strictHostKeyChecking: spec.strictHostKeyChecking,
    hostKeyAlias: spec.hostKeyAlias,
    updateHostKeys: spec.updateHostKeys,
    revokedHostKeys: paths(spec.revokedHostKeys),
    checkHostIP: spec.checkHostIP,
    serverAliveIntervalMs: spec.serverAliveIntervalMs / 1000,
    serverAliveCountMax: spec.serverAliveCountMax,
    compression: spec.compression,
    rekeyLimit: printRekeyLimit(spec.rekeyLimit),
    ciphers: spec.ciphers?.join(','),
    kexAlgorithms: spec.kexAlgorithms?.join(','),
    macs: spec.macs?.join(','),
    hostKeyAlgorithms: spec.hostKeyAlgorithms?.join(','),
  };
  return {
    host: spec.host,
    ...(spec.identityFilesConfigured ? { identityFile: paths(spec.identityFiles) } : {}),
    ...changed(spec, { ...defaults, user: '' }, written),
    ...(spec.authentications.join() === defaults.authentications.join()
      ? {}
      : { preferredAuthentications: spec.authentications.join(',') || 'none' }),
  };
}

/** A list without anything that this program could use. */
const NOTHING_OF_OURS = 'ssh-ed25519-cert-v01@openssh.com';

/** Of the values, as a file writes them, those whose key differs between the two. */
function changed<T extends object>(
  spec: T,
  defaults: T,
  values: Partial<Record<keyof T, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    (Object.keys(values) as (keyof T & string)[])
      .filter((key) => JSON.stringify(spec[key]) !== JSON.stringify(defaults[key]))
      .map((key) => [key.replace(/Ms$/, '').replace(/Files$/, 'File'), values[key]]),
  );
}

function paths(list: readonly string[]): string | readonly string[] {
  if (list.length === 0) return 'none';
  return list.length === 1 && !/\s/.test(list[0]!) ? list[0]! : list;
}

function someOf(key: string, values: readonly unknown[]): Record<string, unknown> {
  if (values.length === 0) return {};
  return { [key]: values.length === 1 ? values[0] : values };
}

function entryKeys(entry: Entry): Record<string, unknown> {
  switch (entry.type) {
    case 'direct':
      return {};
    case 'command':
      return { proxyCommand: entry.command.replaceAll('%', '%%') };
    case 'http':
    case 'socks5': {
      const user = entry.user === null ? '' : `${encodeURIComponent(entry.user)}@`;
      return {
        proxy: `${entry.type}://${user}${formatEndpoint({ type: 'tcp', host: entry.host, port: entry.port })}`,
        ...(entry.passwordFile === null ? {} : { proxyPasswordFile: entry.passwordFile }),
      };
    }
  }
}

function forward({ kind, listen, target }: ForwardSpec): unknown {
  if (kind === 'dynamic') return endpoint(listen);
  if (target.type === 'socks') return { listen: endpoint(listen), target: 'socks' };
  const halves = [endpoint(listen), endpoint(target)];
  return halves.some((half) => /\s/.test(half)) ? { listen: halves[0], target: halves[1] } : halves.join(':');
}

/** With what splitFields() takes for a separator protected. */
function endpoint(value: Endpoint): string {
  if (value.type === 'tcp') return formatEndpoint(value);
  return value.path.replaceAll(/[\\:]/g, '\\$&');
}

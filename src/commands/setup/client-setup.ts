import { callersEnvironment, administrator } from '../find/administrator.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { hostQuery, knownHostsLine } from '../../connection/known-hosts/check.ts';
import { loadKnownHosts } from '../../connection/known-hosts/file.ts';
import { matchesHost } from '../../connection/known-hosts/match.ts';
import { readHostKeyLines } from '../../host/host-keys.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { type ClientOptions, clientText } from '../../setup/client.ts';
import { configuredTunnel } from '../find/configured-tunnel.ts';

export interface ClientSetupOptions {
  readonly user: string | null;
  readonly alias: string | null;
  /** The login of people on the server, `[me@]server[:port]`. */
  readonly via: string | null;
}

/** Prints what people on the other side paste; `hostKeys` is the folder of this device's own host keys. */
export async function printClientSetup(
  config: string | null,
  name: string,
  { user, alias, via }: ClientSetupOptions,
  hostKeys = '/etc/ssh',
): Promise<void> {
  const { tunnel } = await configuredTunnel(config, name);
  const login = via === null ? null : await administrator(via, await callersEnvironment());
  process.stdout.write(await clientPaste(tunnel, { user, alias, via: login, hostKeys }));
}

/** The block for the laptop of whoever reaches this device. */
export async function clientPaste(
  tunnel: TunnelSpec,
  given: Pick<ClientSetupOptions, 'user' | 'alias'> & Pick<ClientOptions, 'via'> & { readonly hostKeys: string },
): Promise<string> {
  const { env, userName } = systemEnvironment();
  return clientText(tunnel, {
    // With sudo the person who logs in here is its caller.
    user: given.user ?? (env['SUDO_USER'] || userName),
    alias: given.alias ?? tunnel.name,
    hostKeys: await readHostKeyLines(given.hostKeys),
    via: given.via,
    serverKeys: await serverKeys(tunnel, given.via ?? tunnel),
  });
}

/** What this device knows the server by, where the laptop reaches it at the same address. */
async function serverKeys(
  { userKnownHostsFiles, globalKnownHostsFiles, host, port, hostKeyAlias }: TunnelSpec,
  reached: Pick<TunnelSpec, 'host' | 'port'>,
): Promise<readonly string[]> {
  if (reached.host !== host || reached.port !== port) return [];
  const { name } = hostQuery(host, port, hostKeyAlias);
  const { entries } = await loadKnownHosts([...userKnownHostsFiles, ...globalKnownHostsFiles]);
  return entries
    .filter(({ marker, hosts }) => marker === 'none' && matchesHost(hosts, name))
    .map(({ key }) => knownHostsLine(hostQuery(host, port, null), key).trimEnd());
}

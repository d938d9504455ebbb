import type { Entry, ServerSpec } from '../../model/spec.ts';
import { completeServer } from './defaults.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { MAX_JUMPS } from '../schema/jump.ts';
import type { JumpKeys, TunnelKeys } from '../schema/keys.ts';
import { lowerCase } from '../../lib/text.ts';
import { expandTokens } from '../ssh-config/tokens.ts';
import { BadValue } from '../values/value.ts';

export interface RouteContext {
  readonly env: ConfigEnvironment;
  /** The options of ssh_config for a jump host. */
  lookup(jump: JumpKeys): Promise<TunnelKeys>;
  /** The keys that all servers of the file share. */
  readonly shared: JumpKeys;
}

/**
 * The route to a server: its jump hosts, and how the first of them is reached. A jump host may have jump hosts of its own in
 * ssh_config. Rejects with a BadValue about proxyJump or proxyCommand.
 */
export async function resolveRoute(
  keys: TunnelKeys,
  destination: { readonly name: string; readonly server: ServerSpec },
  context: RouteContext,
): Promise<{ readonly jumps: readonly ServerSpec[]; readonly entry: Entry }> {
  const jumps: ServerSpec[] = [];
  let nearest = { keys, ...destination };
  while (nearest.keys.proxyJump !== undefined && nearest.keys.proxyJump.length > 0) {
    const hops = await Promise.all(nearest.keys.proxyJump.map((hop) => resolveHop(hop, keys, context)));
    jumps.unshift(...hops.map(({ server }) => server));
    if (jumps.length > MAX_JUMPS)
      throw new BadValue(`leads through more than ${MAX_JUMPS} servers: check it for a loop`);
    nearest = hops[0]!;
  }
  // A proxy beside jump hosts leads to the first of them.
  return { jumps, entry: entryOf(keys.proxy ? keys : nearest.keys, nearest) };
}

interface Hop {
  readonly name: string;
  readonly keys: TunnelKeys;
  readonly server: ServerSpec;
}

/** A jump host without keepalive options gets those of the tunnel. */
async function resolveHop(
  written: JumpKeys,
  { serverAliveInterval, serverAliveCountMax }: TunnelKeys,
  { env, lookup, shared }: RouteContext,
): Promise<Hop> {
  const found = await lookup(written);
  const name = written.host ?? '';
  const alive = {
    ...(serverAliveInterval === undefined ? {} : { serverAliveInterval }),
    ...(serverAliveCountMax === undefined ? {} : { serverAliveCountMax }),
  };
  const keys = { ...alive, ...found, ...shared, ...written, host: found.host ?? name };
  return { name, keys: { ...keys, proxyJump: found.proxyJump ?? [] }, server: completeServer(name, keys, env) };
}

function entryOf({ proxy, proxyCommand, proxyPasswordFile }: TunnelKeys, { name, server }: Omit<Hop, 'keys'>): Entry {
  if (proxy) return { ...proxy, passwordFile: proxyPasswordFile ?? null };
  if (!proxyCommand) return { type: 'direct' };
  const values = { h: lowerCase(server.host), n: name, p: String(server.port), r: server.user };
  return { type: 'command', command: expandTokens(proxyCommand, 'hnpr', values) };
}

import type { Entry, ServerSpec } from '../../model/spec.ts';
import { completeServer } from './defaults.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { MAX_JUMPS } from '../schema/jump.ts';
import type { JumpKeys, TunnelKeys } from '../schema/keys.ts';
import { expandTokens } from '../ssh-config/tokens.ts';
import { BadValue } from '../values/value.ts';

export interface RouteContext {
  readonly env: ConfigEnvironment;
  /** What ssh_config says of a server to go through. */
  lookup(jump: JumpKeys): Promise<TunnelKeys>;
  /** What all servers of the file have in common. */
  readonly shared: JumpKeys;
}

/**
 * How a server is reached: through which others, and by what first step. A server to go through may itself be one that ssh_config
 * says to reach through another. Throws a BadValue, the end of a sentence about proxyJump or proxyCommand.
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
      throw new BadValue(`leads through more than ${MAX_JUMPS} servers, perhaps in a circle`);
    nearest = hops[0]!;
  }
  // A proxy that stands beside the jumps is the way to the first of them.
  return { jumps, entry: entryOf(keys.proxy ? keys : nearest.keys, nearest) };
}

interface Hop {
  readonly name: string;
  readonly keys: TunnelKeys;
  readonly server: ServerSpec;
}

/** Where nothing is said of its own keepalive, a hop is given as much time as the tunnel. */
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
  const values = { h: server.host, n: name, p: String(server.port), r: server.user };
  return { type: 'command', command: expandTokens(proxyCommand, 'hnpr', values) };
}

import type { TunnelSpec } from '../../model/spec.ts';
import { completeServer, completeTunnel } from './defaults.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { FORWARD_KEYS, type JumpKeys, type TunnelKeys } from '../schema/keys.ts';
import type { Findings } from '../input/findings.ts';
import type { SshOption } from '../ssh-config/option.ts';
import type { Reading } from '../ssh-config/reading.ts';
import { lookUp } from '../ssh-config/to-options.ts';
import { BadValue } from '../values/value.ts';
import { resolveRoute } from './route.ts';

export interface ResolveContext {
  readonly env: ConfigEnvironment;
  readonly findings: Findings;
  /** Options of a command line, which precede the files of ssh_config; Match sees them. */
  readonly first: readonly SshOption[];
  readonly reading: Reading;
  /** The keys that jump hosts share with the tunnel. */
  readonly shared: JumpKeys;
  /** Reports that keys of this tunnel contradict each other. */
  reportKey(key: 'proxyJump' | 'proxyCommand', message: string): void;
}

/** A tunnel from its own keys, ssh_config and the defaults, in this order of precedence. */
export async function resolveTunnel(name: string, written: TunnelKeys, context: ResolveContext): Promise<TunnelSpec> {
  const { env, findings, reportKey } = context;
  const destination = written.host ?? name;
  const file = written.sshConfig ?? null;
  const lookupOf = (host: string, first: readonly SshOption[], proxied: boolean, isJump = false) =>
    lookUp({ host, file, first, env, proxied, isJump, reading: context.reading }, findings);
  const proxied = Boolean(written.proxyJump?.length || written.proxyCommand || written.proxy);
  const found = await lookupOf(destination, [...context.first, ...identity(written)], proxied);
  const keys = layer(written, found, destination);
  const route = await resolveRoute(
    keys,
    { name: destination, server: completeServer(destination, keys, env) },
    { env, shared: context.shared, lookup: (jump) => lookupOf(jump.host ?? '', identity(jump), false, true) },
  ).catch((error: unknown) => {
    if (!(error instanceof BadValue)) throw error;
    reportKey(keys.proxyJump?.length ? 'proxyJump' : 'proxyCommand', error.message);
    return { jumps: [], entry: { type: 'direct' as const } };
  });
  if (keys.proxyCommand && (keys.proxyJump?.length || keys.proxy)) {
    reportKey(
      'proxyCommand',
      'cannot be combined with proxyJump or proxy: the command makes the whole connection to the server',
    );
  }
  return completeTunnel(name, destination, keys, route, env);
}

/** Forwards, and the route to the server, come as a whole from the first source that has any. */
function layer(written: TunnelKeys, found: TunnelKeys, destination: string): TunnelKeys {
  const names = (keys: readonly (keyof TunnelKeys)[]) => keys.some((key) => written[key] !== undefined);
  const dropped = [...(names(FORWARD_KEYS) ? FORWARD_KEYS : []), ...(names(ROUTE_KEYS) ? ROUTE_KEYS : [])];
  const rest = Object.fromEntries(Object.entries(found).filter(([key]) => !dropped.includes(key as keyof TunnelKeys)));
  return { ...rest, ...written, host: found.host ?? destination };
}

export const ROUTE_KEYS: readonly (keyof TunnelKeys)[] = ['proxyJump', 'proxyCommand', 'proxy'];

/** The keys of a server that ssh_config depends on: `Match user`, and the tokens for user and port. */
function identity({ user, port }: JumpKeys): SshOption[] {
  const origin = { file: '', line: 0, column: 0 };
  return [
    ...(user === undefined ? [] : [{ key: 'user', args: [user], origin }]),
    ...(port === undefined ? [] : [{ key: 'port', args: [String(port)], origin }]),
  ];
}

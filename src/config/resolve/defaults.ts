import type { Entry, ForwardSpec, ServerSpec, TunnelSpec } from '../../model/spec.ts';
import {
  defaultOf,
  fieldOf,
  type FieldsOf,
  type DefaultsContext,
  type Option,
  SERVER_OPTIONS,
  TUNNEL_OPTIONS,
} from '../../model/options.ts';
import { canonicalAddress } from '../values/address.ts';
import { defaultAlgorithms } from '../values/algorithms.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import type { WrittenForward } from '../values/forward.ts';
import type { JumpKeys, TunnelKeys } from '../schema/keys.ts';
import { allowedMethods } from '../values/restrictions.ts';

/** A tunnel with every default filled in. `host` is used where its keys have none. */
export function completeTunnel(
  name: string,
  host: string,
  keys: TunnelKeys,
  route: { readonly jumps: readonly ServerSpec[]; readonly entry: Entry },
  env: ConfigEnvironment,
): TunnelSpec {
  const forwards = [...(keys.remoteForward ?? []), ...(keys.localForward ?? []), ...(keys.dynamicForward ?? [])];
  return {
    name,
    ...completeServer(host, keys, env),
    ...fieldsOf(TUNNEL_OPTIONS, keys, hereOf(host, env)),
    jumps: route.jumps,
    entry: route.entry,
    forwards: forwards.map((forward) => completeForward(forward, keys.gatewayPorts ?? false)),
  };
}

/** A server with every default filled in. */
export function completeServer(host: string, keys: JumpKeys, env: ConfigEnvironment): ServerSpec {
  const fields = fieldsOf(SERVER_OPTIONS, keys, hereOf(host, env));
  return {
    ...fields,
    host: canonicalAddress(fields.host),
    identityFilesConfigured: keys.identityFile !== undefined,
    authentications: allowedMethods(keys),
    requiredRSASize: Math.max(fields.requiredRSASize, SERVER_OPTIONS.requiredRSASize.default),
    ciphers: fields.ciphers ?? (env.aes ? null : defaultAlgorithms('ciphers', env.aes)),
  };
}

function hereOf(destination: string, { home, userName, env }: ConfigEnvironment): DefaultsContext {
  return { destination, home, userName, env };
}

/** The fields of these options: the key where it is set, else the default. */
export function fieldsOf<Rows extends Readonly<Record<string, Option>>>(
  rows: Rows,
  keys: Readonly<Record<string, unknown>>,
  here: DefaultsContext,
): FieldsOf<Rows> {
  const fields: Record<string, unknown> = {};
  for (const name in rows) {
    const field = fieldOf(name, rows[name]!);
    if (field !== null) fields[field] = keys[name] === undefined ? defaultOf(rows[name]!, here) : keys[name];
  }
  return fields as FieldsOf<Rows>;
}

/** With GatewayPorts, a local listener without an address is bound to all addresses (ssh_config(5)); the server has its own option. */
function completeForward({ bound, ...forward }: WrittenForward, gatewayPorts: boolean): ForwardSpec {
  const { kind, listen } = forward;
  if (kind === 'remote' || bound || listen.type === 'unix' || !gatewayPorts) return forward;
  return { ...forward, listen: { ...listen, host: '' } };
}

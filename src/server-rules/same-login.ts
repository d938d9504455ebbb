import { serverKey } from '../model/server-key.ts';
import type { TunnelSpec } from '../model/spec.ts';

/** Whether two tunnels log in as the same user of the same server, so that one block of sshd_config applies to both. */
export function sharesUser(one: TunnelSpec, other: TunnelSpec): boolean {
  return one.user === other.user && serverKey(one) === serverKey(other);
}

/** The others that do so. */
export function sharingUser(tunnel: TunnelSpec, all: readonly TunnelSpec[]): readonly TunnelSpec[] {
  return all.filter((one) => one.name !== tunnel.name && sharesUser(one, tunnel));
}

/** Whether they may do so with the same key, so that one line of authorized_keys applies to both. */
export function sharesKey(one: TunnelSpec, other: TunnelSpec): boolean {
  if (one.name === other.name) return true;
  if (!sharesUser(one, other)) return false;
  const fromAgent = (spec: TunnelSpec) => (spec.identitiesOnly ? null : spec.identityAgent);
  return (
    one.identityFiles.some((file) => other.identityFiles.includes(file)) ||
    (fromAgent(one) !== null && fromAgent(one) === fromAgent(other))
  );
}

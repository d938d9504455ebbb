import type { TunnelSpec } from '../model/spec.ts';

/** Whether two tunnels log in as the same user of the same server: then one block of sshd_config is for both. */
export function sharesUser(one: TunnelSpec, other: TunnelSpec): boolean {
  return one.user === other.user && one.port === other.port && one.host.toLowerCase() === other.host.toLowerCase();
}

/** Whether they may also do so with the same key: then one line of authorized_keys is for both. */
export function sharesKey(one: TunnelSpec, other: TunnelSpec): boolean {
  if (one.name === other.name) return true;
  if (!sharesUser(one, other)) return false;
  const fromAgent = (spec: TunnelSpec) => (spec.identitiesOnly ? null : spec.identityAgent);
  return (
    one.identityFiles.some((file) => other.identityFiles.includes(file)) ||
    (fromAgent(one) !== null && fromAgent(one) === fromAgent(other))
  );
}

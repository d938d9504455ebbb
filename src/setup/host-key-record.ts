import { fingerprint, keyTypeOf } from '../connection/known-hosts/key-blob.ts';
import { isLoopbackHost } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { choosePort, hasPort } from '../server-rules/choose-port.ts';
import type { HostKeyRecord } from '../server-rules/server-setup.ts';

/** Recorded where users reach this device's own SSH server, so that `tunneld fleet` knows it at its port. */
export function hostKeyFor(spec: TunnelSpec, keys: readonly Buffer[]): HostKeyRecord | null {
  if (!hasPort(spec)) return null;
  const { port, target } = choosePort(spec);
  if (target.port !== 22 || !isLoopbackHost(target.host)) return null;
  const ranked = keys.toSorted((a, b) => rank(keyTypeOf(a)) - rank(keyTypeOf(b)));
  return ranked[0] === undefined ? null : { port, fingerprint: fingerprint(ranked[0]) };
}

/** The order in which the key is asked for. */
function rank(type: string): number {
  return ['ssh-ed25519', 'ecdsa', 'ssh-rsa'].findIndex((kind) => type.startsWith(kind)) >>> 0;
}

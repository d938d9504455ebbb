import { networkInterfaces } from 'node:os';
import { TunnelFailure } from '../model/failure.ts';
import type { ServerSpec } from '../model/spec.ts';

/** Where connections come from, as it is configured. */
export type Binding = Pick<ServerSpec, 'bindAddress' | 'bindInterface'>;

/**
 * The local address for a connection to an address of this family, or null for any: `bindAddress`, else an address of
 * `bindInterface` (ssh_config(5)), as it is at this moment. Throws `unreachable` where the interface has none.
 */
export function localAddress(
  { bindAddress, bindInterface }: Binding,
  family: 4 | 6,
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
): string | null {
  if (bindAddress !== null || bindInterface === null) return bindAddress;
  const fitting = (interfaces[bindInterface] ?? []).filter((each) => each.family === `IPv${family}`);
  // As ssh does (sshconnect.c, check_ifaddrs): an address that reaches farther comes first.
  const far = fitting.find(
    ({ address }) => address !== '127.0.0.1' && address !== '::1' && !/^fe[89ab]/i.test(address),
  );
  const found = far ?? fitting[0];
  if (found !== undefined) return found.scopeid ? `${found.address}%${bindInterface}` : found.address;
  const what = bindInterface in interfaces ? `has no IPv${family} address` : 'does not exist';
  throw new TunnelFailure('unreachable', `interface ${bindInterface} (bindInterface) ${what}`);
}

/** The configured source of connections, for a message. */
export function describeBinding({ bindAddress, bindInterface }: Binding): string {
  if (bindAddress !== null) return ` (bindAddress: ${bindAddress})`;
  return bindInterface === null ? '' : ` (bindInterface: ${bindInterface})`;
}

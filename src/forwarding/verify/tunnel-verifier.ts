import { randomBytes } from 'node:crypto';
import type { Clock } from '../../lib/async/clock.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { Device } from '../../net/device.ts';
import type { VerifiedConnection } from './connect-to-listener.ts';
import { createVerifier, type Verifier } from './listener-verifier.ts';
import { ownKeys } from './own-keys.ts';

/** The verifier of a tunnel's listeners on its connection. */
export function createTunnelVerifier(
  spec: Pick<TunnelSpec, 'forwards' | 'addressFamily'>,
  connection: VerifiedConnection,
  { clock, device }: { readonly clock: Clock; readonly device: Pick<Device, 'hostKeys'> },
  signal: AbortSignal,
): Verifier {
  const deps = {
    clock,
    nonce: () => randomBytes(16).toString('hex'),
    ownKeys: (listen: Parameters<typeof ownKeys>[1], type: string) =>
      ownKeys(spec, listen, type, { clock, hostKeys: device.hostKeys }, signal),
  };
  return createVerifier(connection, deps, signal);
}

import type { Clock } from '../../lib/async/clock.ts';
import { dialTarget } from '../../net/dial-target.ts';
import { type Endpoint, formatEndpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { scanServer } from '../../connection/ssh2/scan.ts';

export interface OwnKeysDeps {
  readonly clock: Clock;
  /** This device's, as key blobs. */
  readonly hostKeys: () => Promise<readonly Buffer[]>;
}

export interface OwnKeys {
  readonly keys: readonly Buffer[];
  /** False where the target did not show its key in time: then a different key proves nothing. */
  readonly complete: boolean;
}

/**
 * The SSH host keys of this type that this device and the listener's target have. A server at the listener with one of them is reached by
 * another tunnel, perhaps of an older program, with the same target.
 */
export async function ownKeys(
  { forwards, addressFamily }: Pick<TunnelSpec, 'forwards' | 'addressFamily'>,
  listen: Endpoint,
  type: string,
  { clock, hostKeys }: OwnKeysDeps,
  signal: AbortSignal,
): Promise<OwnKeys> {
  const text = formatEndpoint(listen);
  const own = forwards.find((forward) => forward.kind === 'remote' && formatEndpoint(forward.listen) === text);
  const [keys, target] = await Promise.all([hostKeys(), keyOf(own?.target, addressFamily, type, clock, signal)]);
  return target instanceof Buffer ? { keys: [...keys, target], complete: true } : { keys, complete: target === 'none' };
}

/** `none` where it is certainly no SSH server with a key of this type. */
async function keyOf(
  target: TunnelSpec['forwards'][number]['target'] | undefined,
  addressFamily: TunnelSpec['addressFamily'],
  type: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Buffer | 'none' | 'unknown'> {
  if (target === undefined || target.type === 'socks') return 'none';
  const deadline = clock.now() + PATIENCE_MS;
  try {
    const socket = await dialTarget(target, { connectTimeoutMs: PATIENCE_MS, addressFamily }, clock, signal);
    const types = type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'] : [type];
    const { hostKey, software } = await scanServer(socket, PATIENCE_MS, clock, types);
    if (hostKey !== null) return hostKey;
    // A target that does not send a version at once is no SSH server.
    return software === '' ? 'none' : slow();
  } catch {
    signal.throwIfAborted();
    return slow();
  }

  function slow(): 'none' | 'unknown' {
    return clock.now() >= deadline ? 'unknown' : 'none';
  }
}

const PATIENCE_MS = 5000;

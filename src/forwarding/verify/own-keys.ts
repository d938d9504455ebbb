import type { Clock } from '../../lib/async/clock.ts';
import { dialTarget } from '../../net/dial-target.ts';
import { type Endpoint, formatEndpoint, type TunnelSpec } from '../../model/spec.ts';
import { scanServer } from '../../connection/ssh2/scan.ts';

export interface OwnKeysDeps {
  readonly clock: Clock;
  /** Of this device, as key blobs. */
  readonly hostKeys: () => Promise<readonly Buffer[]>;
}

export interface OwnKeys {
  readonly keys: readonly Buffer[];
  /** False where the target did not show its key in time: then another key says nothing. */
  readonly complete: boolean;
}

/**
 * The SSH host keys of this type by which somebody who answers at a listener is known to be this device, or the target that the listener
 * leads to: another tunnel, of an older program perhaps, that goes where this one would.
 */
export async function ownKeys(
  { forwards }: Pick<TunnelSpec, 'forwards'>,
  listen: Endpoint,
  type: string,
  { clock, hostKeys }: OwnKeysDeps,
  signal: AbortSignal,
): Promise<OwnKeys> {
  const text = formatEndpoint(listen);
  const own = forwards.find((forward) => forward.kind === 'remote' && formatEndpoint(forward.listen) === text);
  const [keys, target] = await Promise.all([hostKeys(), keyOf(own?.target, type, clock, signal)]);
  return target instanceof Buffer ? { keys: [...keys, target], complete: true } : { keys, complete: target === 'none' };
}

/** `none` where it is certainly no SSH server with a key of this type. */
async function keyOf(
  target: TunnelSpec['forwards'][number]['target'] | undefined,
  type: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Buffer | 'none' | 'unknown'> {
  if (target === undefined || target.type === 'socks') return 'none';
  const deadline = clock.now() + PATIENCE_MS;
  try {
    const socket = await dialTarget(target, PATIENCE_MS, clock, signal);
    const types = type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'] : [type];
    const { hostKey, software } = await scanServer(socket, PATIENCE_MS, clock, types);
    if (hostKey !== null) return hostKey;
    // One that does not speak at once, or speaks otherwise, is none.
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

import type { Clock } from '../lib/clock.ts';
import { dialTarget } from './dial-target.ts';
import { type Endpoint, formatEndpoint, type TunnelSpec } from './spec.ts';
import { scanServer } from './ssh2/scan.ts';

export interface OwnKeysDeps {
  readonly clock: Clock;
  /** Of this device, as key blobs. */
  readonly hostKeys: () => Promise<readonly Buffer[]>;
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
): Promise<readonly Buffer[]> {
  const own = forwards.find((forward) => forward.kind === 'remote' && sameText(forward.listen, listen));
  const [device, target] = await Promise.all([hostKeys(), keyOf(own?.target, type, clock, signal)]);
  return target === null ? device : [...device, target];
}

function sameText(one: Endpoint, other: Endpoint): boolean {
  return formatEndpoint(one) === formatEndpoint(other);
}

async function keyOf(
  target: TunnelSpec['forwards'][number]['target'] | undefined,
  type: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Buffer | null> {
  if (target === undefined || target.type === 'socks') return null;
  try {
    const socket = await dialTarget(target, PATIENCE_MS, clock, signal);
    const types = type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'] : [type];
    return (await scanServer(socket, PATIENCE_MS, clock, types)).hostKey;
  } catch {
    signal.throwIfAborted();
    return null;
  }
}

const PATIENCE_MS = 5000;

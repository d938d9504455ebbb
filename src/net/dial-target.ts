import type { Socket } from 'node:net';
import type { Clock } from '../lib/async/clock.ts';
import { fewATurn } from '../lib/async/slices.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { TunnelFailure } from '../model/failure.ts';
import { openSocket } from './open-socket.ts';
import { guardListeners } from './guard-listeners.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';

/** A connection to the target of a forward, with allowHalfOpen and shielded. Rejects with target-unreachable or the signal's reason. */
export async function dialTarget(
  target: Endpoint,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Socket> {
  const address =
    target.type === 'unix'
      ? { path: target.path }
      : {
          host: target.host,
          port: target.port,
          noDelay: true,
          // Node's default of 250 ms for each address but the last is too short for a target on a slow Wi-Fi.
          autoSelectFamilyAttemptTimeout: 1000,
        };
  try {
    // A server may send a thousand visitors at once.
    await fewATurn();
    return guardListeners(await openSocket({ ...address, allowHalfOpen: true }, timeoutMs, clock, signal));
  } catch (error) {
    signal.throwIfAborted();
    const text = `${formatEndpoint(target)}: ${errorCode(error) ?? errorText(error)}`;
    throw new TunnelFailure('target-unreachable', text, { cause: error });
  }
}

import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { asFailure, TunnelFailure } from './failure.ts';
import { openSocket } from './open-socket.ts';
import { splice } from './splice.ts';
import { formatEndpoint, type Endpoint, type ForwardSpec } from './spec.ts';
import type { Visitor } from './ssh.ts';
import type { Counters } from './state.ts';
import type { Transport } from './transport.ts';

export interface VisitorOptions {
  readonly forward: ForwardSpec;
  readonly counters: Counters;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly connectTimeoutMs: number;
  /** Told after every try: null when the target accepted. */
  onTarget(failure: TunnelFailure | null): void;
}

/**
 * Serves one visitor from the first packet to the last: dials the target, and only when that answers accepts the channel and
 * joins the two. Never rejects. `signal` means that the SSH connection is gone.
 */
export async function serveVisitor(visitor: Visitor, options: VisitorOptions, signal: AbortSignal): Promise<void> {
  const { counters, clock, log, forward } = options;
  const started = clock.now();
  const from = { originator: visitor.originator, target: formatEndpoint(forward.target) };
  let target: Socket;
  try {
    target = await dialTarget(forward.target, options.connectTimeoutMs, clock, signal);
  } catch (error) {
    if (signal.aborted) return;
    visitor.reject();
    counters.refusedConnections += 1;
    log.warn({ ...from, code: 'target-unreachable' }, `visitor turned away: ${errorText(error)}`);
    options.onTarget(asFailure(error));
    return;
  }
  options.onTarget(null);
  counters.connections += 1;
  counters.totalConnections += 1;
  log.info(from, 'connection opened');
  let bytesIn = 0;
  let bytesOut = 0;
  const joined = splice(visitor.accept(), target, {
    transport: options.transport,
    clock,
    count: (direction, bytes) => {
      if (direction === 'in') {
        bytesIn += bytes;
        counters.bytesIn += bytes;
      } else {
        bytesOut += bytes;
        counters.bytesOut += bytes;
      }
    },
  });
  signal.addEventListener('abort', joined.abort, { once: true });
  const ending = await joined.ended;
  signal.removeEventListener('abort', joined.abort);
  counters.connections -= 1;
  const seconds = Math.round((clock.now() - started) / 100) / 10;
  log.info({ ...from, bytesIn, bytesOut, seconds }, `connection ended: ${ending}`);
}

async function dialTarget(target: Endpoint, timeoutMs: number, clock: Clock, signal: AbortSignal): Promise<Socket> {
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
    return await openSocket({ ...address, allowHalfOpen: true }, timeoutMs, clock, signal);
  } catch (error) {
    const text = `${formatEndpoint(target)}: ${errorCode(error) ?? errorText(error)}`;
    throw new TunnelFailure('target-unreachable', text, { cause: error });
  }
}

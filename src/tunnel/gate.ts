import type { Socket } from 'node:net';
import { childController } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import { cheapDelay } from './backoff.ts';
import { resetSocket } from './reset-socket.ts';
import { TunnelFailure } from './failure.ts';

export interface GateDeps {
  readonly clock: Clock;
  readonly random: () => number;
  /** True when one of the hint addresses answers a ping. */
  ping(signal: AbortSignal): Promise<boolean>;
  /** A TCP connection to the server itself, or a rejection. */
  dial(timeoutMs: number, signal: AbortSignal): Promise<Socket>;
  heartbeat(withinMs: number): void;
}

/**
 * Waits until the network is there: until a ping is answered or the server refuses us (null), or it takes a connection (that socket),
 * because a network that filters ICMP must not keep the tunnel down. `since` is when the outage began, monotonic.
 */
export async function waitForNetwork(since: number, deps: GateDeps, signal: AbortSignal): Promise<Socket | null> {
  for (;;) {
    deps.heartbeat(TRY_MS + MAX_PAUSE_MS + 30_000);
    const found = await tryBoth(deps, signal);
    if (found !== 'nothing') return found;
    const pause = cheapDelay(deps.clock.now() - since, { minMs: 1000, maxMs: MAX_PAUSE_MS }, deps.random);
    await sleep(deps.clock, pause, signal);
  }
}

const TRY_MS = 3000;
const MAX_PAUSE_MS = 15_000;

async function tryBoth(deps: GateDeps, signal: AbortSignal): Promise<Socket | null | 'nothing'> {
  const round = childController(signal);
  const pinged = deps.ping(round.signal).then((answered) => {
    if (!answered) throw new Error('no answer');
    return null;
  });
  const dialled = deps.dial(TRY_MS, round.signal).catch(unlessRefused);
  let found: Socket | null | 'nothing' = 'nothing';
  try {
    found = await Promise.any([dialled, pinged]);
  } catch {
    signal.throwIfAborted();
  }
  round.abort(new Error('settled'));
  round.dispose();
  // A connection that opens in the same instant as the ping is answered has no owner.
  dialled.then(
    (socket) => {
      if (socket !== found && socket !== null) resetSocket(socket);
    },
    () => {},
  );
  return found;
}

/** A refusal came from the server's machine: the network is there. */
function unlessRefused(error: unknown): null {
  if (error instanceof TunnelFailure && error.code === 'connect-refused') return null;
  throw error;
}

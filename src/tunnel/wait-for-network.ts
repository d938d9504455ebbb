import { abortable } from '../lib/async/abort.ts';
import { firstToEnd } from '../lib/async/scope.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import { cheapDelay } from './backoff.ts';
import { type Dialled, discard } from '../net/dial.ts';
import { TunnelFailure } from '../model/failure.ts';

export interface NetworkWaitDeps {
  readonly clock: Clock;
  readonly random: () => number;
  /** Resolves with whether one of the hint addresses answers a ping. */
  ping(signal: AbortSignal): Promise<boolean>;
  /** A TCP connection to the server itself, or a rejection. */
  dial(timeoutMs: number, signal: AbortSignal): Promise<Dialled>;
  heartbeat(withinMs: number): void;
}

/**
 * Waits for the network: resolves with null when a ping is answered or the server refuses a connection, or with the connection that the
 * server accepts, because a network that filters ICMP must not keep the tunnel down. The server is probed all the time, the hint
 * addresses every few seconds. `since` is when the outage began, monotonic.
 */
export async function waitForNetwork(
  since: number,
  deps: NetworkWaitDeps,
  signal: AbortSignal,
): Promise<Dialled | null> {
  const { clock, random } = deps;
  const down = () => clock.now() - since;

  const probe = async (over: AbortSignal): Promise<Dialled | null> => {
    for (;;) {
      deps.heartbeat(PROBE_MS + 60_000);
      try {
        return await abortable(deps.dial(PROBE_MS, over), over, discard);
      } catch (error) {
        over.throwIfAborted();
        // A refusal came from the server's machine: the network is there.
        if (error instanceof TunnelFailure && error.code === 'connect-refused') return null;
      }
      await sleep(clock, cheapDelay(down(), 0, random), over);
    }
  };
  const ping = async (over: AbortSignal): Promise<null> => {
    for (;;) {
      await sleep(clock, down() < SHORT_MS ? 5000 : 15_000, over);
      if (await deps.ping(over)) return null;
    }
  };
  return await firstToEnd<Dialled | null>(signal, [probe, ping], (late) => {
    if (late !== null) discard(late);
  });
}

const PROBE_MS = 10_000;
const SHORT_MS = 600_000;

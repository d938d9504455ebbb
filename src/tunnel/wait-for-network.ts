import { childController } from '../lib/async/abort.ts';
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
  const round = childController(signal);
  const down = () => clock.now() - since;

  const probe = async (): Promise<Dialled | null> => {
    for (;;) {
      deps.heartbeat(PROBE_MS + 60_000);
      try {
        return await deps.dial(PROBE_MS, round.signal);
      } catch (error) {
        round.signal.throwIfAborted();
        // A refusal came from the server's machine: the network is there.
        if (error instanceof TunnelFailure && error.code === 'connect-refused') return null;
      }
      await sleep(clock, cheapDelay(down(), 0, random), round.signal);
    }
  };
  const ping = async (): Promise<null> => {
    for (;;) {
      await sleep(clock, down() < SHORT_MS ? 5000 : 15_000, round.signal);
      if (await deps.ping(round.signal)) return null;
    }
  };

  const probing = probe();
  let found: Dialled | null = null;
  try {
    found = await Promise.race([probing, ping()]);
    return found;
  } finally {
    if (found === null) closeWhenLate(probing);
    round.abort(new Error('settled'));
    round.dispose();
  }
}

const PROBE_MS = 10_000;
const SHORT_MS = 600_000;

/** A connection that opens in the same instant as the ping is answered, or the wait is given up, has no owner. */
function closeWhenLate(knocking: Promise<Dialled | null>): void {
  knocking.then(
    (late) => {
      if (late !== null) discard(late);
    },
    () => {},
  );
}

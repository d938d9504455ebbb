import type { Clock } from '../../lib/async/clock.ts';
import { formatDuration } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { Channel } from './connection.ts';

/**
 * The milliseconds without a channel after which the server ends its connections, as far as the last ends show; null
 * where they do not. `idles` is how long each connection had been without one, the latest last. sshd counts whole
 * seconds.
 */
export function idleLimit(idles: readonly number[]): number | null {
  const last = idles.slice(-ENDS);
  const [shortest, longest] = [Math.min(...last), Math.max(...last)];
  if (last.length < ENDS || shortest < SHORTEST_MS || longest > LONGEST_MS) return null;
  return longest - shortest <= Math.max(2000, longest / 30) ? shortest : null;
}

/** Two may be chance. */
const ENDS = 3;

/** A shorter connection was hardly there. */
const SHORTEST_MS = 2000;

/** A longer one points to a daily restart, or a provider that cuts its lines. */
const LONGEST_MS = 3 * 3_600_000;

/**
 * Recognises a server that ends idle connections: a tunnel without channels counts as idle there, whatever keepalives
 * it sends. The result explains the end of a session that was without a channel for so long; null where it had one.
 */
export function recogniseIdleEnds(): (failure: TunnelFailure, idleMs: number | null) => TunnelFailure {
  let idles: readonly number[] = [];
  return (failure, idleMs) => {
    idles = failure.code === 'disconnected' && idleMs !== null ? [...idles, idleMs].slice(-ENDS) : [];
    const limit = idleLimit(idles);
    if (limit === null) return failure;
    const after = formatDuration(limit);
    const text = `${failure.message}, as each time after about ${after} without use: ${ADVICE}`;
    return new TunnelFailure('disconnected', text, { cause: failure });
  };
}

/** sshd_config(5), dropbear(8); neither counts a listener or a keepalive as use. */
const ADVICE =
  "the server seems to end idle connections, and keepalives do not count as use (UnusedConnectionTimeout in sshd_config, Dropbear's option -I). " +
  'The tunnel reconnects each time; to keep it up, exempt this user on the server (`Match User …`, `UnusedConnectionTimeout none`) or remove -I';

/** Measures how long a connection has been without a channel. */
export function trackChannels(clock: Clock) {
  let open = 0;
  let since = clock.now();
  return {
    /** To be called with each channel as soon as it is open. */
    add: <T extends Channel>(channel: T): T => {
      open += 1;
      channel.once('close', () => {
        open -= 1;
        since = clock.now();
      });
      return channel;
    },
    /** Null while there is one. */
    idleMs: () => (open > 0 ? null : clock.now() - since),
  };
}

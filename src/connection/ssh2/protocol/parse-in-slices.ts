import type { Client } from 'ssh2';
import { inSlices, turnIsSpent } from '../../../lib/async/slices.ts';
import type { Valve } from '../../../net/valve.ts';
import { internalsOf } from './internals.ts';

/**
 * Has the messages of a server take no more of a turn of the event loop than there is for all servers together: one read brings a
 * thousand small ones, each of which may open a connection or have us write a packet. What is left waits for the next turns, and no
 * more is read. ssh2 leaves its loop over packets where a handler answers `false`, which it has for a change of keys. To be called
 * right after client.connect(), before the first byte is read.
 */
export function parseInSlices(client: Client, valve: Valve): void {
  const { _protocol: protocol } = internalsOf(client);
  const waiting: Buffer[] = [];
  let postponed = false;
  /** What the messages of this slice leave to be done after it. */
  let laterMs = 0;

  const timed = new WeakSet<Handler>();
  /** Keeps ssh2 from going on with the next packet: always while it was postponed, else when the turn is over. */
  const timedHandler = (handle: Handler): Handler => {
    const watch: Handler = (payload) => {
      const answer = handle(payload);
      if (answer !== undefined) return answer;
      // In an exchange of keys it handles packets in another way, which is to be watched as well.
      const later = OF_CHANNELS.has(payload[0] ?? 0) ? CHANNEL_MS : 0;
      laterMs += later;
      return postponed || turnIsSpent(later) || protocol._decipher?._onPayload !== watch ? false : undefined;
    };
    timed.add(watch);
    return watch;
  };
  /** Where it stopped; the end where it took all. */
  const parseSome = (chunk: Buffer, from: number, to: number): number => {
    const { _decipher: decipher } = protocol;
    // There is none before the server has identified itself.
    if (decipher !== undefined && !timed.has(decipher._onPayload))
      decipher._onPayload = timedHandler(decipher._onPayload);
    return protocol._parse(chunk, from, to) ?? to;
  };
  function* parseWaiting(): Generator<boolean, void> {
    for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
      for (let at = 0; at < chunk.length && !valve.destroyed; yield laterMs >= LATER_MS) {
        if (laterMs >= LATER_MS) laterMs = 0;
        at = parseSome(chunk, at, chunk.length);
      }
    }
  }
  const postpone = () => {
    postponed = true;
    valve.pause();
    inSlices(parseWaiting())
      .catch((error: unknown) => {
        waiting.length = 0;
        client.emit('error', error);
      })
      .finally(() => {
        postponed = false;
        valve.resume();
      });
  };

  protocol.parse = (chunk, from, to) => {
    let at = from;
    if (!postponed)
      for (let first = true; at < to && (first || !turnIsSpent()); first = false) at = parseSome(chunk, at, to);
    if (at >= to) return;
    waiting.push(chunk.subarray(at, to));
    if (!postponed) postpone();
  };
}

/** SSH_MSG_CHANNEL_OPEN, _EOF and _CLOSE (RFC 4254): each has sockets opened or ended, in the callbacks at the end of the turn. */
const OF_CHANNELS: ReadonlySet<number> = new Set([90, 96, 97]);
/** About what that takes on a PC, on a small computer a multiple. */
const CHANNEL_MS = 0.2;
/** The most that one slice may leave. */
const LATER_MS = 4;

/** What is done with a packet; any answer but undefined ends ssh2's loop over those of one chunk. */
type Handler = (payload: Buffer) => unknown;

import type { Client } from 'ssh2';
import { inSlices, tickIsSpent } from '../../../lib/async/slices.ts';
import { forLater } from '../../../net/streams/lent-memory.ts';
import type { Valve } from '../../../net/streams/valve.ts';
import { internalsOf } from './internals.ts';

/**
 * Gives the messages of one server no more of a tick of the event loop than all servers share: one read may bring a thousand
 * small ones, each of which may open a connection or make us write a packet. The rest waits for the next ticks, and no
 * more is read. ssh2 leaves its loop over packets where a handler returns `false`, as it does for a change of keys.
 * Call right after client.connect(), before the first byte is read.
 */
export function parseInSlices(client: Client, valve: Valve): void {
  const { _protocol: protocol } = internalsOf(client);
  const waiting: Buffer[] = [];
  let postponed = false;
  /** What the messages of this slice leave to be done after it. */
  let laterMs = 0;
  /** Data passed since the clock was last read. */
  let unwatched = 0;

  const timed = new WeakSet<Handler>();
  /** Stops ssh2 before the next packet: always while postponed, else when the tick's time is spent. */
  const timedHandler = (handle: Handler): Handler => {
    const watch: Handler = (payload) => {
      const answer = handle(payload);
      if (answer !== undefined) return answer;
      // A key exchange replaces the packet handler of ssh2, and the new one needs this wrapper too.
      const later = OF_CHANNELS.has(payload[0] ?? 0) ? CHANNEL_MS : 0;
      laterMs += later;
      unwatched = payload[0] === DATA && unwatched < MOST_UNWATCHED ? unwatched + 1 : 0;
      const spent = unwatched === 0 && tickIsSpent(later);
      return postponed || spent || protocol._decipher?._onPayload !== watch ? false : undefined;
    };
    timed.add(watch);
    return watch;
  };
  protocol.mustStop = (packets) => {
    unwatched = unwatched < MOST_UNWATCHED ? unwatched + packets : 0;
    return postponed || (unwatched === 0 && tickIsSpent());
  };
  /** Where ssh2 stopped; the end where it has read everything. */
  const parseSome = (chunk: Buffer, from: number, to: number): number => {
    const { _decipher: decipher } = protocol;
    // There is none before the server's identification.
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
      for (let first = true; at < to && (first || !tickIsSpent()); first = false) at = parseSome(chunk, at, to);
    if (at >= to) return;
    waiting.push(forLater(chunk, at, to));
    if (!postponed) postpone();
  };
}

/** SSH_MSG_CHANNEL_OPEN, _EOF and _CLOSE (RFC 4254): each has sockets opened or ended, in the callbacks at the end of the tick. */
const OF_CHANNELS: ReadonlySet<number> = new Set([90, 96, 97]);
/** SSH_MSG_CHANNEL_DATA. */
const DATA = 94;
/** So many packets of data take less than reading the clock is worth: about 0.1 ms, on a small computer 1 ms. */
const MOST_UNWATCHED = 16;
/** About what that takes on a PC, on a small computer a multiple. */
const CHANNEL_MS = 0.2;
/** The most that one slice may leave. */
const LATER_MS = 4;

/** Handles a packet; any result but undefined ends the loop of ssh2 over the packets of a chunk. */
type Handler = (payload: Buffer) => unknown;

import type { Socket } from 'node:net';
import { loadAddon } from '../../lib/addon.ts';
import { timerAfterIo, type Clock } from '../../lib/async/clock.ts';
import { descriptorOf } from './send-past.ts';

/**
 * Lets the reads of a fast transfer gather: the socket is then readable only when ENOUGH has come (SO_RCVLOWAT of socket(7)), so that a
 * read is a full one, and what it costs beside its bytes is paid half as often. Call the result with the bytes of each read; null where
 * there is no addon. Only above a quarter of a gigabyte a second, where ENOUGH takes three milliseconds at most; where nothing comes any more, the
 * last bytes wait for one or two periods: once for each BETWEEN_STOPS at most. `isAlone` says whether nothing else would wait with them: else
 * it gathers less.
 */
export function gatherReads(socket: Socket, clock: Clock, isAlone: () => boolean): ((bytes: number) => void) | null {
  const { addon } = loadAddon();
  if (addon === null) return null;
  const wakeAt = (bytes: number) => {
    // The descriptor of a socket that is destroyed may be another's by now.
    const fd = descriptorOf(socket);
    return fd !== null && !socket.destroyed && addon.wakeAt(fd, bytes);
  };
  let gathers = false;
  let reads = 0;
  let ignored = 0;
  /** Since it began to gather. */
  let gathered = 0;
  let since = 0;
  let got = 0;
  const watch = () => {
    reads = 0;
    timerAfterIo(clock, PERIOD_MS, look);
  };
  const look = () => {
    if (reads > 0) {
      watch();
      return;
    }
    gathers = false;
    ignored = isAlone() ? Math.max(0, BETWEEN_STOPS - gathered) : BETWEEN_STOPS;
    wakeAt(1);
  };
  /** Whether these reads are of a transfer that is fast enough. */
  const isFast = (bytes: number) => {
    if (bytes < LARGE) return false;
    if (ignored > 0) {
      ignored -= bytes;
      return false;
    }
    const now = clock.now();
    if (now - since > FAST_MS) {
      since = now;
      got = 0;
    }
    got += bytes;
    return got >= FAST_BYTES;
  };
  return (bytes) => {
    reads += 1;
    gathered += bytes;
    if (gathers || !isFast(bytes)) return;
    got = gathered = 0;
    gathers = wakeAt(ENOUGH);
    if (gathers) watch();
  };
}

/** Somewhat less than a read takes at most (LARGE of lent-memory.ts). */
const ENOUGH = 768 * 1024;
const PERIOD_MS = 3;
const LARGE = 16 * 1024;
const FAST_BYTES = 2 * 1024 * 1024;
const FAST_MS = 8;
/** In bytes: at a gigabyte a second a tenth more time, for a transfer that stops again and again, because its target is slow, say. */
const BETWEEN_STOPS = 64 * 1024 * 1024;

import type { Socket } from 'node:net';
import { loadAddon } from '../../lib/addon.ts';
import { timerAfterIo, type Clock } from '../../lib/async/clock.ts';
import { descriptorOf } from './send-past.ts';
import { TransferSpeed } from './transfer-speed.ts';

/**
 * Lets the reads of a fast transfer gather: the socket is then readable only when ENOUGH has come (SO_RCVLOWAT of socket(7)), so that a
 * read is a full one, and what it costs beside its bytes is paid half as often. Call the result with the bytes of each read; null where
 * there is no addon. Only above a quarter of a gigabyte a second, where ENOUGH takes three milliseconds at most, and while it `mayWait`; where
 * nothing comes any more, the last bytes wait for one or two periods: once for each BETWEEN_STOPS at most.
 */
export function gatherReads(socket: Socket, clock: Clock, mayWait: () => boolean): ((bytes: number) => void) | null {
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
  const speed = new TransferSpeed();
  const watch = () => {
    reads = 0;
    timerAfterIo(clock, PERIOD_MS, look);
  };
  const look = () => {
    const stopped = reads === 0;
    if (!stopped && mayWait()) {
      watch();
      return;
    }
    gathers = false;
    if (stopped) ignored = Math.max(0, BETWEEN_STOPS - gathered);
    wakeAt(1);
  };
  /** Whether these reads are of a transfer that is fast enough. */
  const isFast = (bytes: number) => {
    if (bytes < LARGE) return false;
    if (ignored > 0) {
      ignored -= bytes;
      return false;
    }
    return speed.isFast(bytes, clock.now()) && mayWait();
  };
  return (bytes) => {
    reads += 1;
    gathered += bytes;
    if (gathers || !isFast(bytes)) return;
    gathered = 0;
    gathers = wakeAt(ENOUGH);
    if (gathers) watch();
  };
}

/** Somewhat less than a read takes at most (LARGE of lent-memory.ts). */
const ENOUGH = 768 * 1024;
const PERIOD_MS = 3;
const LARGE = 16 * 1024;
/** In bytes: at a gigabyte a second a tenth more time, for a transfer that stops again and again, because its target is slow, say. */
const BETWEEN_STOPS = 64 * 1024 * 1024;

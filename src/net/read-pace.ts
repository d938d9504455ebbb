/** How much may be read at once for a connection, so that what is read next does not wait long behind it. */
export interface ReadPace {
  /** In bytes. `isWaiting`: something of ours waits for the connection. `sent` is how many bytes it has taken so far, `now` milliseconds. */
  atOnce(now: number, isWaiting: boolean, sent: () => number): number;
  /** Something had to wait, and does no more. */
  waited(): void;
  /** As atOnce() said last. */
  last(): number;
}

/**
 * A read leaves as one piece, and what another visitor says next, a keystroke, say, waits behind it: on a fast line for a moment, on a slow
 * one as long as the line needs. So no more is read at once than the line takes in PERIOD_MS, as was seen in the last of them in which
 * something had to wait for it; where nothing had to, twice as much.
 */
export function createReadPace(): ReadPace {
  let bytes = MOST_AT_ONCE;
  let hasWaited = false;
  let since = { at: Number.NEGATIVE_INFINITY, sent: 0 };
  return {
    waited: () => (hasWaited = true),
    last: () => bytes,
    atOnce: (now, isWaiting, sent) => {
      hasWaited ||= isWaiting;
      const ms = now - since.at;
      if (ms < PERIOD_MS) return bytes;
      const period = { at: now, sent: sent() };
      if (!hasWaited) bytes = Math.min(2 * bytes, MOST_AT_ONCE);
      // In a longer one the line had nothing to do for a part of it.
      else if (ms < LONGEST_MS) {
        const taken = ((period.sent - since.sent) * PERIOD_MS) / ms;
        bytes = Math.min(Math.max(Math.round(taken), LEAST_AT_ONCE), MOST_AT_ONCE);
      }
      since = period;
      hasWaited = isWaiting;
      return bytes;
    },
  };
}

/** With what the kernel keeps as well still less than what a person notices. */
const PERIOD_MS = 10;
const LONGEST_MS = 500;
/** Half of a packet of OpenSSH. */
const LEAST_AT_ONCE = 16 * 1024;
/** The largest read. */
export const MOST_AT_ONCE = 256 * 1024;

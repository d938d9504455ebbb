/**
 * Keeps little of a transfer on its way while another channel of the same connection is interactive, as where somebody types: a device that
 * is faster than its server fills a window of 2 MiB there, and what is typed next waits behind all of it. One for each connection; all times are
 * monotonic milliseconds.
 */
export class InteractiveChannels {
  #last: SendingChannel | null = null;
  #at = Number.NEGATIVE_INFINITY;

  sentLittle(channel: SendingChannel, now: number): void {
    this.#last = channel;
    this.#at = now;
  }

  /** Whether another channel than this one was interactive within RECENT_MS. */
  isBeside(channel: SendingChannel, now: number): boolean {
    return this.#last !== channel && now - this.#at < RECENT_MS;
  }
}

/** What one channel may send beside the others of its connection. */
export class SendingChannel {
  readonly #interactive: InteractiveChannels;
  /** The largest window that there was: what is missing of it is on its way, or waits at the server. */
  #full = 0;
  #isHeldBack = false;
  #inVainAt = Number.NEGATIVE_INFINITY;

  constructor(interactive: InteractiveChannels) {
    this.#interactive = interactive;
  }

  /** How many bytes of the server's `window` may be used now, to send so many. */
  usable(window: number, bytes: number, now: number): number {
    this.#full = Math.max(this.#full, window);
    // The rest of something large is not interactive.
    if (bytes <= LITTLE && !this.#isHeldBack) this.#interactive.sentLittle(this, now);
    const isBeside = this.#interactive.isBeside(this, now) && now - this.#inVainAt >= RECENT_MS;
    const most = isBeside ? Math.max(0, window - this.#full + ON_ITS_WAY) : window;
    this.#isHeldBack = bytes > most;
    return Math.min(window, most);
  }

  /** Whether the last usable() was less than was to be sent. */
  get isHeldBack(): boolean {
    return this.#isHeldBack;
  }

  /**
   * The server has granted nothing for PATIENCE_MS: what was sent waits elsewhere, in a slow network, say, or for a visitor who does not read;
   * or the server grants its window anew only when half of it is used. So nothing is held back for RECENT_MS.
   */
  waitedInVain(now: number): void {
    this.#inVainAt = now;
  }
}

/** How long a grant may take. A server that takes less than 100 MB/s, or that is further away than this, needs longer: nothing is held back for it. */
export const PATIENCE_MS = 2;
/** In bytes. The answer to a keystroke is a few, a screen that is drawn anew some thousand. */
const LITTLE = 4096;
const RECENT_MS = 1000;
/** In bytes. OpenSSH grants its window anew whenever 96 KiB of it are used (channel_check_window() in channels.c). */
const ON_ITS_WAY = 192 * 1024;

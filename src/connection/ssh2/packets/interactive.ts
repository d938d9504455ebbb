/**
 * Keeps little of a transfer on its way while another channel of the same connection says little, as where somebody types: who is faster than
 * the server fills a window of 2 MiB there, and what is said next waits behind all of it. One for each connection; all times are monotonic
 * milliseconds.
 */
export class SmallTalk {
  #by: OneOfMany | null = null;
  #at = Number.NEGATIVE_INFINITY;

  said(by: OneOfMany, now: number): void {
    this.#by = by;
    this.#at = now;
  }

  isBeside(channel: OneOfMany, now: number): boolean {
    return this.#by !== channel && now - this.#at < RECENT_MS;
  }
}

/** A channel among those of its connection. */
export class OneOfMany {
  readonly #talk: SmallTalk;
  /** The largest window that there was: what is missing of it is on its way, or waits at the server. */
  #full = 0;
  #waits = false;
  #inVainAt = Number.NEGATIVE_INFINITY;

  constructor(talk: SmallTalk) {
    this.#talk = talk;
  }

  /** How much of the server's `window` so many bytes may use now. */
  usable(window: number, bytes: number, now: number): number {
    this.#full = Math.max(this.#full, window);
    // The rest of something large is no small talk.
    if (bytes <= SMALL && !this.#waits) this.#talk.said(this, now);
    const isHeldBack = this.#talk.isBeside(this, now) && now - this.#inVainAt >= RECENT_MS;
    const most = isHeldBack ? Math.max(0, window - this.#full + ON_ITS_WAY) : window;
    this.#waits = bytes > most;
    return Math.min(window, most);
  }

  /** Whether the bytes of the last usable() were too many. */
  get waits(): boolean {
    return this.#waits;
  }

  /**
   * The server has not granted anything for PATIENCE_MS: what was sent waits elsewhere, on a long way, say, or for a visitor who does not
   * read; or the server grants its window anew only when half of it is used. So nothing is held back for a while.
   */
  waitedInVain(now: number): void {
    this.#inVainAt = now;
  }
}

/** A server that is faster than this is not kept waiting; a way of which the round trip takes longer is not left empty. */
export const PATIENCE_MS = 2;
/** The answer to a keystroke is a few bytes, a screen that is drawn anew some thousand. */
const SMALL = 4096;
const RECENT_MS = 1000;
/** OpenSSH grants its window anew whenever 96 KiB of it are used (channel_check_window() in channels.c). */
const ON_ITS_WAY = 192 * 1024;

import { TransferSpeed } from '../../../net/streams/transfer-speed.ts';

/**
 * Which channels are interactive, as where somebody types. What is typed next would wait behind all that is on its way of a transfer on another
 * channel of the connection, and as long as this process is busy with one of any connection. So for RECENT_MS less is on its way of the
 * former, and less is read at once of the latter. All times are monotonic milliseconds.
 */
export class InteractiveChannels {
  readonly #all: InteractiveChannels | null;
  #last: number | null = null;
  #lastAt = Number.NEGATIVE_INFINITY;
  /** When another than the last one was. */
  #otherAt = Number.NEGATIVE_INFINITY;

  /** Those of a connection, which are among those of `all`, or all of them. */
  constructor(all: InteractiveChannels | null = null) {
    this.#all = all;
  }

  sentLittle(channel: number, now: number): void {
    this.#all?.sentLittle(channel, now);
    if (channel !== this.#last) this.#otherAt = this.#lastAt;
    this.#last = channel;
    this.#lastAt = now;
  }

  /** Whether another channel than this one was interactive within RECENT_MS. */
  isBeside(channel: number | null, now: number): boolean {
    return now - (channel === this.#last ? this.#otherAt : this.#lastAt) < RECENT_MS;
  }
}

/** The channels of a connection, by our numbers of them, among those of `all` connections. */
export class ConnectionChannels {
  readonly #own: InteractiveChannels;
  readonly #all: InteractiveChannels;
  /** The number that its channel 0 has among all. */
  readonly #first: number;
  readonly #speed = new TransferSpeed();
  /** When what comes was fast last. */
  #fastAt = Number.NEGATIVE_INFINITY;
  /** That of the last transfer from the server. */
  #transfer: number | null = null;

  constructor(all: InteractiveChannels = ofThisProcess) {
    this.#own = new InteractiveChannels(all);
    this.#all = all;
    connections += 1;
    this.#first = connections * MOST_CHANNELS;
  }

  sending(channel: number): SendingChannel {
    return new SendingChannel(this.#own, this.#first + channel);
  }

  /** So many bytes were read of the connection. Returns whether somebody waits for what the last transfer brings. */
  came(bytes: number, now: number): boolean {
    if (this.#speed.isFast(bytes, now)) this.#fastAt = now;
    return this.#all.isBeside(this.#transfer, now);
  }

  /**
   * How large the window of a channel may be that has used up much of it: a server that is faster than this device has all of it on its way.
   * One that is so far away that it needs more for as fast a transfer (by three milliseconds) gets all of it, as soon as the transfer is slower.
   */
  window(channel: number, now: number): number {
    this.#transfer = this.#first + channel;
    const isFast = now - this.#fastAt <= FRESH_MS;
    return isFast && this.#own.isBeside(this.#transfer, now) ? SMALL_WINDOW : Number.POSITIVE_INFINITY;
  }
}

/** What one channel may send beside the others of its connection: a device that is faster than its server fills a window of 2 MiB there. */
export class SendingChannel {
  readonly #interactive: InteractiveChannels;
  readonly #channel: number;
  /** The largest window that there was: what is missing of it is on its way, or waits at the server. */
  #full = 0;
  #isBeside = false;
  #isHeldBack = false;
  #inVainAt = Number.NEGATIVE_INFINITY;

  constructor(interactive: InteractiveChannels, channel: number) {
    this.#interactive = interactive;
    this.#channel = channel;
  }

  /** How many bytes of the server's `window` may be used now, to send so many. */
  usable(window: number, bytes: number, now: number): number {
    this.#full = Math.max(this.#full, window);
    // The rest of something large is not interactive.
    if (bytes <= LITTLE && !this.#isHeldBack) this.#interactive.sentLittle(this.#channel, now);
    this.#isBeside = this.#interactive.isBeside(this.#channel, now);
    const isNear = now - this.#inVainAt >= RECENT_MS;
    const most = this.#isBeside && isNear ? Math.max(0, window - this.#full + ON_ITS_WAY) : window;
    this.#isHeldBack = bytes > most;
    return Math.min(window, most);
  }

  /** Whether the last usable() was less than was to be sent. */
  get isHeldBack(): boolean {
    return this.#isHeldBack;
  }

  /** How many bytes to read for it at once: what is typed next waits until they are sealed. */
  get mostAtOnce(): number {
    return this.#isBeside ? SEALED_AT_ONCE : Number.POSITIVE_INFINITY;
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
/** In bytes. */
const SEALED_AT_ONCE = 64 * 1024;
/** So long what was fast is taken to be so. */
const FRESH_MS = 16;
/** In bytes: three times what is granted at once. */
const SMALL_WINDOW = 768 * 1024;
/** Of a connection: SSH's numbers of channels have 32 bits (RFC 4254 section 5.1). */
const MOST_CHANNELS = 2 ** 32;
const ofThisProcess = new InteractiveChannels();
let connections = 0;

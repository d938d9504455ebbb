/** Whether a transfer is faster than a quarter of a gigabyte a second. All times are monotonic milliseconds. */
export class TransferSpeed {
  #since = Number.NEGATIVE_INFINITY;
  #bytes = 0;
  #wasFast = false;

  /** So many bytes more have come. */
  isFast(bytes: number, now: number): boolean {
    if (now - this.#since > PERIOD_MS) {
      this.#wasFast = this.#bytes >= FAST_BYTES && now - this.#since <= 2 * PERIOD_MS;
      this.#since = now;
      this.#bytes = 0;
    }
    this.#bytes += bytes;
    return this.#wasFast || this.#bytes >= FAST_BYTES;
  }
}

const PERIOD_MS = 8;
const FAST_BYTES = 2 * 1024 * 1024;

/**
 * Says when it is worth to stay awake for the answer of a target, which costs processor time: where most answers on the same connection came
 * at once. What is spent in vain is a small part of what their messages cost, and who asks only once is left alone. All times are monotonic
 * milliseconds.
 */
export class AnswerPace {
  /** One more for a near answer, and FAR fewer for another. */
  #score = 0;
  #askedAt: number | null = null;

  /** Something small was sent to the target. */
  asked(now: number): void {
    this.#askedAt = now;
  }

  /** Whether something was sent that is not answered yet. */
  isAsked(): boolean {
    return this.#askedAt !== null;
  }

  /** The target has sent something. */
  answered(now: number): void {
    if (this.#askedAt === null) return;
    if (now - this.#askedAt > NEAR_MS) return this.missed();
    this.#askedAt = null;
    this.#score = Math.min(this.#score + 1, MOST);
  }

  /** No answer has come for NEAR_MS. */
  missed(): void {
    this.#askedAt = null;
    this.#score = Math.max(this.#score - FAR, 0);
  }

  /** Whether there is an answer to come, and most of the last ones were near. */
  isNear(): boolean {
    return this.#askedAt !== null && this.#score >= ENOUGH;
  }
}

/** A program of this machine that has the answer in its memory takes half as long, and to be woken as much again. */
export const NEAR_MS = 0.2;
const ENOUGH = 4;
const FAR = 4;
const MOST = 8;

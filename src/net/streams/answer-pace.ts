/** How soon targets answer. All times are monotonic milliseconds. */
export interface AnswerPace {
  /** Something small was sent to a target. */
  asked(now: number): void;
  /** A target has sent something. */
  answered(now: number): void;
  /** No answer has come for NEAR_MS. */
  missed(): void;
  /** Whether there is an answer to come, and the last ones were all near. */
  isNear(): boolean;
}

/**
 * Says when it is worth to stay awake for an answer, which costs processor time: only behind some answers that came at once. One that does
 * not ends it, so what is spent in vain is a small part of what their messages cost.
 */
export function createAnswerPace(): AnswerPace {
  let near = 0;
  let askedAt: number | null = null;
  return {
    asked: (now) => (askedAt = now),
    answered: (now) => {
      if (askedAt === null) return;
      near = now - askedAt <= NEAR_MS ? Math.min(near + 1, ENOUGH) : 0;
      askedAt = null;
    },
    missed: () => (near = 0),
    isNear: () => askedAt !== null && near === ENOUGH,
  };
}

/** A program of this machine that has the answer in its memory takes half as long, and to be woken as much again. */
export const NEAR_MS = 0.2;
const ENOUGH = 8;

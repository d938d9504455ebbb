import type { Clock } from '../async/clock.ts';
import type { Logger } from './log.ts';

/** Time, chance and the log are passed in, so that tests can replace them. */
export interface Environment {
  readonly clock: Clock;
  /** In [0, 1), as Math.random(). */
  readonly random: () => number;
  readonly log: Logger;
}

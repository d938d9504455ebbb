import type { Clock } from '../async/clock.ts';

/** Lets `burst` through in every minute, so that a flood is a few lines; the next one is told how many were not. */
export function fewAMinute(clock: Clock, burst: number): (tell: (untold: number) => void) => void {
  let since = Number.NEGATIVE_INFINITY;
  let told = 0;
  let untold = 0;
  return (tell) => {
    if (clock.now() - since >= MINUTE_MS) {
      since = clock.now();
      told = 0;
    }
    if (told >= burst) {
      untold += 1;
      return;
    }
    told += 1;
    tell(untold);
    untold = 0;
  };
}

const MINUTE_MS = 60_000;

import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';

/**
 * Logs visitors that nobody serves, so that a flood of them is a few lines a minute: the first `burst` at once, and with the next
 * line how many were not told.
 */
export function turnedAwayLog(
  log: Logger,
  clock: Clock,
  burst: number,
): (details: Readonly<Record<string, string>>, message: string) => void {
  let since = Number.NEGATIVE_INFINITY;
  let told = 0;
  let untold = 0;
  return (details, message) => {
    if (clock.now() - since >= MINUTE_MS) {
      since = clock.now();
      told = 0;
    }
    if (told >= burst) {
      untold += 1;
      return;
    }
    told += 1;
    log.warn({ ...details, ...(untold === 0 ? {} : { untold }) }, message);
    untold = 0;
  };
}

const MINUTE_MS = 60_000;

import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';

/**
 * Logs visitors that nobody serves, so that a flood of them is a line a minute: the first at once, and how many came since the
 * last line.
 */
export function turnedAwayLog(log: Logger, clock: Clock): (listen: string, originator: string, why: string) => void {
  let since = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return (listen, originator, why) => {
    untold += 1;
    if (clock.now() - since < MINUTE_MS) return;
    log.warn({ originator, visitors: untold }, `visitor turned away at ${listen}: ${why}`);
    since = clock.now();
    untold = 0;
  };
}

const MINUTE_MS = 60_000;

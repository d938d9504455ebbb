import type { Clock } from '../async/clock.ts';

/** Calls `report` at most `burst` times a minute, so that a flood is a few lines, with the number of calls suppressed since the last. */
export function limitPerMinute(clock: Clock, burst: number): (report: (suppressed: number) => void) => void {
  let since = Number.NEGATIVE_INFINITY;
  let reported = 0;
  let suppressed = 0;
  return (report) => {
    if (clock.now() - since >= MINUTE_MS) {
      since = clock.now();
      reported = 0;
    }
    if (reported >= burst) {
      suppressed += 1;
      return;
    }
    reported += 1;
    report(suppressed);
    suppressed = 0;
  };
}

const MINUTE_MS = 60_000;

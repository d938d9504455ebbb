import type { Clock } from '../../lib/async/clock.ts';
import { fewAMinute } from '../../lib/log/few-a-minute.ts';
import type { Logger } from '../../lib/log/log.ts';

/** Logs visitors that nobody serves: the first `burst` of a minute at once, and with the next line how many were not told. */
export function rejectionLog(
  log: Logger,
  clock: Clock,
  burst: number,
): (details: Readonly<Record<string, string>>, message: string) => void {
  const few = fewAMinute(clock, burst);
  return (details, message) => few((untold) => log.warn({ ...details, ...(untold === 0 ? {} : { untold }) }, message));
}

import type { Clock } from '../../lib/async/clock.ts';
import { limitPerMinute } from '../../lib/log/limit-per-minute.ts';
import type { Logger } from '../../lib/log/log.ts';

type Details = Readonly<Record<string, string | number>>;

export type VisitLog = ReturnType<typeof createVisitLog>;

/**
 * Logs a tunnel's visitors, over all its sessions: so many lines a minute, and in the next line the number of those that were
 * `suppressed`.
 */
export function createVisitLog(log: Pick<Logger, 'info' | 'warn'>, clock: Clock) {
  const served = limitPerMinute(clock, SERVED_A_MINUTE);
  const warnings = (burst: number) => {
    const few = limitPerMinute(clock, burst);
    return (details: Details, message: string) => few((suppressed) => log.warn(counted(details, suppressed), message));
  };
  return {
    /** A visitor is served; the result logs its end. Both lines are logged, or neither. */
    opened: (names: Details) => {
      let isLogged = false;
      served((suppressed) => {
        isLogged = true;
        log.info(counted(names, suppressed), 'connection opened');
      });
      return (details: Details, ending: string): void => {
        if (isLogged) log.info({ ...names, ...details }, `connection ended: ${ending}`);
      };
    },
    /** A visitor could not be served. */
    rejected: warnings(REJECTED_A_MINUTE),
    /** There was no room for a visitor, which may concern hundreds at once. */
    overflow: warnings(1),
  };
}

function counted(details: Details, suppressed: number): Details {
  return suppressed === 0 ? details : { ...details, suppressed };
}

/** A page of a busy web site takes 30 at once, and people wait between two; a flood is half a kilobyte a second with this. */
const SERVED_A_MINUTE = 60;

/** More than a person reads, less than fills a disk. */
const REJECTED_A_MINUTE = 20;

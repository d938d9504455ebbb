import type { Clock } from '../../lib/async/clock.ts';
import { limitPerMinute } from '../../lib/log/limit-per-minute.ts';
import type { Logger } from '../../lib/log/log.ts';

type Details = Readonly<Record<string, string | number>>;

/**
 * What the log tells of a tunnel's visitors, whatever number of them comes and however often its sessions change: so many lines a minute,
 * and in the next one how many connections or visitors were left out (`untold`).
 */
export interface VisitLog {
  /** A visitor is served; answers what logs the end. The two lines are logged both, or neither. */
  opened(names: Details): (details: Details, ending: string) => void;
  /** One could not be served. */
  rejected(details: Details, message: string): void;
  /** There was no place for one, which may concern hundreds at once. */
  overflow(details: Details, message: string): void;
}

export function createVisitLog(log: Pick<Logger, 'info' | 'warn'>, clock: Clock): VisitLog {
  const served = limitPerMinute(clock, SERVED_A_MINUTE);
  const warnings = (burst: number) => {
    const few = limitPerMinute(clock, burst);
    return (details: Details, message: string) => few((untold) => log.warn(counted(details, untold), message));
  };
  return {
    opened: (names) => {
      let isTold = false;
      served((untold) => {
        isTold = true;
        log.info(counted(names, untold), 'connection opened');
      });
      return (details, ending) => {
        if (isTold) log.info({ ...names, ...details }, `connection ended: ${ending}`);
      };
    },
    rejected: warnings(REJECTED_A_MINUTE),
    overflow: warnings(1),
  };
}

function counted(details: Details, untold: number): Details {
  return untold === 0 ? details : { ...details, untold };
}

/** A page of a busy web site takes 30 at once, and people wait between two; a flood is half a kilobyte a second with this. */
const SERVED_A_MINUTE = 60;

/** More than a person reads, less than fills a disk. */
const REJECTED_A_MINUTE = 20;

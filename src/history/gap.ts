import type { Machine } from './machine.ts';
import { newestTime, watchedAfter, type HistoryRecord, type OpenOutage } from './outage.ts';
import type { ToWall } from './writer.ts';

/**
 * The facts of an outage that began before this process: a tunnel that was watched then was not there until now. They are found when they
 * are asked for, because the time at which the machine was started is unknown until the network has set the clock.
 */
export type Gap = (toWall: ToWall) => Omit<OpenOutage, 'tunnel' | 'visitors'> & { readonly visitors?: number };

/** `startedAt` is when this process began, since the start of the machine, in milliseconds. */
type GapDeps = Pick<Machine, 'bootId' | 'lastAlive'> & { readonly startedAt: number };

/** Pure but for lastAlive(): one for each tunnel that the records leave watched. */
export function gapsOf(records: readonly HistoryRecord[], deps: GapDeps): Map<string, Gap> {
  const last = records.at(-1);
  if (last === undefined) return new Map();
  const stoppedAt = last.type === 'stop' ? last.at : null;
  const before = notRunning(stoppedAt, deps);
  const off = deviceOff(stoppedAt, deps);
  // What was recorded after the start of the machine is of its present run.
  const newest = newestTime(records);
  const sameRun = (toWall: ToWall) => (deps.bootId === '' ? newest >= toWall(0) : last.boot === deps.bootId);
  const gap: Gap = (toWall) => (sameRun(toWall) ? before : off)(toWall);
  return new Map(
    [...watchedAfter(records)].map(([name, outage]) => [name, outage === null ? gap : continued(outage, gap)]),
  );
}

/** Without a last record of the process the time of its end is unknown: systemd starts it again within seconds. */
function notRunning(stoppedAt: number | null, { startedAt }: GapDeps): Gap {
  return (toWall) => ({
    from: Math.min(stoppedAt ?? Number.POSITIVE_INFINITY, toWall(startedAt)),
    cause: 'not-running',
    message: '',
    offMs: 0,
  });
}

/** From the last sign of life of the machine to its start it had no power, or slept, or was started anew. */
function deviceOff(stoppedAt: number | null, deps: GapDeps): Gap {
  const lastAlive = foundOnce(deps.lastAlive);
  return (toWall) => {
    const boot = toWall(0);
    const from = Math.min(stoppedAt ?? lastAlive(boot) ?? boot, boot);
    return { from, cause: 'device-off', message: '', offMs: boot - from };
  };
}

/** Looks again only where the clock was set since: it is asked at each look at a tunnel, and goes through directories. */
function foundOnce(lastAlive: GapDeps['lastAlive']): GapDeps['lastAlive'] {
  let found: { readonly before: number; readonly last: number | null } | null = null;
  return (before) => {
    if (found === null || Math.abs(found.before - before) > SAME_MS) found = { before, last: lastAlive(before) };
    return found.last;
  };
}

/** The two clocks agree to some 10 ms; what is set by hand or by the network, and changes nothing here, may be less than this. */
const SAME_MS = 1000;

/** An outage that had begun before goes on; meanwhile the device may have been off. */
function continued({ from, cause, message, visitors, offMs }: OpenOutage, gap: Gap): Gap {
  return (toWall) => ({ from, cause, message, visitors, offMs: offMs + gap(toWall).offMs });
}

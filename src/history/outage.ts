import * as z from 'zod/mini';
import { catch as orElse } from 'zod/mini';
import { FAILURES, type FailureCode } from '../model/failure.ts';

/**
 * Causes that are no failure of a tunnel: the device had no power or slept, tunneld did not run, a listener led elsewhere, the tunnel was
 * replaced by a changed one, or none was seen.
 */
const OTHER_CAUSES = ['device-off', 'device-asleep', 'not-running', 'not-verified', 'replaced', 'unknown'] as const;

export type OutageCause = FailureCode | (typeof OTHER_CAUSES)[number];

// A newer version may know more causes, and more ways to end: what it wrote is no damage.
const cause = orElse(z.enum([...(Object.keys(FAILURES) as FailureCode[]), ...OTHER_CAUSES]), 'unknown');
// Up to the last time that there is (Date): a larger number is no time, and would be an exception where it is shown.
const whole = z.pipe(
  z.number().check(z.maximum(8.64e15)),
  z.transform((value) => Math.max(0, Math.round(value))),
);
const time = whole;
const tunnel = z.string();
const count = z._default(whole, 0);

/** The run of the machine, see bootId(). */
const boot = upTo(100);

const down = {
  tunnel,
  from: time,
  cause,
  message: z._default(upTo(1000), ''),
  visitors: count,
  offMs: count,
  boot,
};

/**
 * One line of the history file. Times are milliseconds since 1970. What is written is parsed before, so that it is what can be read:
 * whole numbers, and text that is not too long.
 */
export const recordSchema = z.discriminatedUnion('type', [
  /** From here on the tunnel is watched; until here it was (it has been removed from the configuration). */
  z.object({ type: z.literal('begin'), tunnel, at: time, boot }),
  z.object({ type: z.literal('end'), tunnel, at: time, boot }),
  /** An outage that goes on: it is recorded before its end so that a loss of power does not lose it. */
  z.object({ type: z.literal('down'), ...down }),
  z.object({
    type: z.literal('outage'),
    ...down,
    to: time,
    ended: orElse(z.enum(['up', 'removed']), 'up'),
    clock: z.optional(orElse(z.literal('unsure'), 'unsure')),
  }),
  /** The daemon ended in good order. */
  z.object({ type: z.literal('stop'), at: time, boot }),
]);

export type HistoryRecord = z.infer<typeof recordSchema>;

/** From the moment a tunnel stopped working until it was verified again. */
export type Outage = Omit<Extract<HistoryRecord, { type: 'outage' }>, 'type' | 'boot'>;

/** An outage without its end. */
export type OpenOutage = Omit<Extract<HistoryRecord, { type: 'down' }>, 'type' | 'boot'>;

/** The newest time in a record, in milliseconds since 1970. */
export function timeOf(record: HistoryRecord): number {
  if (record.type === 'outage') return record.to;
  return record.type === 'down' ? record.from : record.at;
}

/** A clock that shows less is wrong. */
export function newestTime(records: readonly HistoryRecord[]): number {
  return records.reduce((newest, record) => Math.max(newest, timeOf(record)), 0);
}

/** The tunnels that are watched after these records, each with the outage that it is in, or null. */
export function watchedAfter(records: readonly HistoryRecord[]): Map<string, OpenOutage | null> {
  const watched = new Map<string, OpenOutage | null>();
  for (const record of records) {
    if (record.type === 'stop') continue;
    if (record.type === 'end') watched.delete(record.tunnel);
    else watched.set(record.tunnel, record.type === 'down' ? record : null);
  }
  return watched;
}

function upTo(length: number) {
  return z.pipe(
    z.string(),
    z.transform((text) => text.slice(0, length)),
  );
}

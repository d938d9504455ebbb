import * as z from 'zod/mini';
import { FAILURES, type FailureCode } from '../model/failure.ts';

/** Causes that are no failure of a tunnel: the device had no power or slept, tunneld did not run, a listener led elsewhere, or none was seen. */
const OTHER_CAUSES = ['device-off', 'device-asleep', 'not-running', 'not-verified', 'unknown'] as const;

export type OutageCause = FailureCode | (typeof OTHER_CAUSES)[number];

const cause = z.enum([...(Object.keys(FAILURES) as FailureCode[]), ...OTHER_CAUSES]);
const time = z.int().check(z.minimum(0));
const tunnel = z.string().check(z.maxLength(200));
const count = z._default(z.int().check(z.minimum(0)), 0);

/** The run of the machine, see bootId(). */
const boot = z.string().check(z.maxLength(100));

const down = {
  tunnel,
  from: time,
  cause,
  message: z._default(z.string().check(z.maxLength(1000)), ''),
  visitors: count,
  offMs: count,
  boot,
};

/** One line of the history file. Times are milliseconds since 1970. */
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
    ended: z.enum(['up', 'removed']),
    clock: z.optional(z.literal('unsure')),
  }),
  /** The daemon ended in good order. */
  z.object({ type: z.literal('stop'), at: time, boot }),
]);

export type HistoryRecord = z.infer<typeof recordSchema>;

/** From the moment a tunnel stopped working until it was verified again. */
export type Outage = Omit<Extract<HistoryRecord, { type: 'outage' }>, 'type' | 'boot'>;

/** An outage without its end. */
export type OpenOutage = Omit<Extract<HistoryRecord, { type: 'down' }>, 'type' | 'boot'>;

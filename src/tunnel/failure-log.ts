import type { Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import { hintFor, type TunnelFailure } from '../model/failure.ts';
import { putNewest } from '../lib/maps.ts';

export type FailureLog = ReturnType<typeof createFailureLog>;

/**
 * Logs failures so that an outage of a week is a handful of lines: a new one once, a known one once an hour, also where several
 * alternate.
 */
export function createFailureLog(log: Logger, clock: Clock, tunnel: string) {
  const known = new Map<string, { readonly at: number; readonly repeated: number }>();
  return {
    log: (failure: TunnelFailure, retryInMs?: number): void => {
      const key = `${failure.code} ${failure.message}`;
      const details = {
        code: failure.code,
        ...(retryInMs === undefined ? {} : { retryInSeconds: Math.round(retryInMs / 100) / 10 }),
        ...(failure.code === 'internal' ? { error: failure.cause } : {}),
      };
      const now = clock.now();
      const before = known.get(key);
      if (before === undefined) {
        putNewest(known, key, { at: now, repeated: 0 }, MAX_KNOWN);
        log.warn(details, `${failure.message}. ${hintFor(tunnel, failure.hint)}`);
        return;
      }
      const repeated = before.repeated + 1;
      if (now - before.at < REPEAT_MS) {
        known.set(key, { ...before, repeated });
        log.debug(details, failure.message);
        return;
      }
      log.warn({ ...details, repeated }, failure.message);
      known.set(key, { at: now, repeated: 0 });
    },
    /** The tunnel came up: the next failure is new again. */
    recovered: (): void => known.clear(),
  };
}

const REPEAT_MS = 3_600_000;

/** A server whose messages differ every time must not fill the memory. */
const MAX_KNOWN = 50;

import type { ConnectLimit } from '../../model/spec.ts';
import { durationOf } from './duration.ts';
import { BadValue, isEmpty, readInteger, show } from './value.ts';

/** `4/minute` as in iptables, or `4/1m30s` with a duration of OpenSSH; null for `auto`. */
export function readConnectLimit(raw: unknown): ConnectLimit | null {
  if (raw === 'auto') return null;
  const [, count, time = ''] = /^(\d+)\/(\w+)$/.exec(typeof raw === 'string' ? raw : '') ?? [];
  if (isEmpty(raw) || count === undefined) throw bad(raw);
  const windowMs = UNITS[time.toLowerCase()] ?? durationOf(/^\d/.test(time) ? time : `1${time}`);
  if (windowMs === null) throw bad(raw);
  if (windowMs < 1000 || windowMs > LONGEST_MS)
    throw new BadValue(`must have a duration from 1s to 1h, not ${show(raw)}`);
  return { count: readInteger(1, 1000)(count), windowMs };
}

/** A limit as a file writes it. */
export function printConnectLimit(limit: ConnectLimit | null): string {
  return limit === null ? 'auto' : `${limit.count}/${limit.windowMs / 1000}`;
}

const UNITS: Readonly<Record<string, number>> = {
  second: 1000,
  sec: 1000,
  minute: 60_000,
  min: 60_000,
  hour: 3_600_000,
};
const LONGEST_MS = 3_600_000;

function bad(raw: unknown): BadValue {
  return new BadValue(`must be auto or a limit such as 4/minute, not ${show(raw)}`);
}

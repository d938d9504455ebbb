import { plural } from '../../lib/text.ts';
import { BadValue, isEmpty, show } from './value.ts';

/**
 * A duration in milliseconds, from whole seconds or OpenSSH's time format (sshd_config(5), TIME FORMATS): numbers with s, m, h, d or w
 * in either case, added up; a number without a unit is in seconds.
 */
export function readDuration(raw: unknown): number {
  if (isEmpty(raw)) throw new BadValue('is empty');
  const seconds = typeof raw === 'number' || typeof raw === 'string' ? parseSeconds(String(raw).trim()) : null;
  if (seconds === null) throw new BadValue(`must be a duration such as 90, 1m30s or 2h, not ${show(raw)}`);
  if (seconds > MAX_SECONDS) throw new BadValue(`is longer than ${MAX_SECONDS} seconds`);
  return seconds * 1000;
}

/** Like readDuration(), but at least `min` seconds. */
export function readDurationFrom(min: number): (raw: unknown) => number {
  return (raw) => {
    const ms = readDuration(raw);
    if (ms < min * 1000) throw new BadValue(`must be at least ${plural(min, 'second')}, not ${show(raw)}`);
    return ms;
  };
}

/** The same for a text; null where it is no duration. */
export function durationOf(text: string): number | null {
  const seconds = parseSeconds(text.trim());
  return seconds === null || seconds > MAX_SECONDS ? null : seconds * 1000;
}

/** The largest int of C, as in OpenSSH. */
const MAX_SECONDS = 2 ** 31 - 1;

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

function parseSeconds(text: string): number | null {
  if (!/^(?:\d+[smhdw])*\d*$/i.test(text) || text === '') return null;
  let seconds = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+)([smhdw]?)/gi)) {
    seconds += Number(digits) * (SECONDS[(unit ?? '').toLowerCase()] ?? Number.NaN);
  }
  return seconds;
}

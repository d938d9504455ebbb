import { localTime } from '../../lib/local-time.ts';

/** `2026-11-27 14:03:05`, in the local time zone; without its day where that is today's. */
export function formatTime(iso: string, now: number): string {
  const { day, clock } = localTime(Date.parse(iso));
  return day === localTime(now).day ? clock : `${day} ${clock}`;
}

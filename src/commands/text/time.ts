/** `2026-11-27 14:03:05`, in the local time zone; without its day where that is today's. */
export function formatTime(iso: string, now: number): string {
  const time = new Date(iso);
  const day = dayOf(time);
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(':');
  return day === dayOf(new Date(now)) ? clock : `${day} ${clock}`;
}

function dayOf(time: Date): string {
  return [`${time.getFullYear()}`, twoDigits(time.getMonth() + 1), twoDigits(time.getDate())].join('-');
}

function twoDigits(number: number): string {
  return `${number}`.padStart(2, '0');
}

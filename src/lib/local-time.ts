/** A moment (milliseconds since 1970) in the local time zone, sortable: `2026-11-27` and `14:03:05`. */
export function localTime(ms: number): { readonly day: string; readonly clock: string } {
  const time = new Date(ms);
  const two = (number: number) => String(number).padStart(2, '0');
  return {
    day: [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-'),
    clock: [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':'),
  };
}

/** The times that are no longer ago than `windowMs`. */
export function inWindow(times: readonly number[], windowMs: number, now: number): readonly number[] {
  return times.filter((time) => time > now - windowMs);
}

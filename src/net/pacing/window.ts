/** Those of these times that are no longer ago than this. */
export function inWindow(times: readonly number[], windowMs: number, now: number): readonly number[] {
  return times.filter((time) => time > now - windowMs);
}

/**
 * Every second or two while the refusal is fresh: a dead session's port comes free within that. After ten minutes somebody
 * else owns it or it is forbidden, and every request is a line in the server's log: then every fifteen seconds.
 */
export function listenRetryDelay(refusedForMs: number, random: () => number): number {
  return refusedForMs < 600_000 ? 1000 + 500 * random() : 15_000;
}

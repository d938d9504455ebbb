/**
 * Milliseconds until a refused listener is requested again: 1 to 1.5 seconds at first, because the port of a dead session comes free
 * soon. After ten minutes it is another program's or forbidden, and every request is a line in the server's log: fifteen seconds.
 */
export function listenRetryDelay(refusedForMs: number, random: () => number): number {
  return refusedForMs < 600_000 ? 1000 + 500 * random() : 15_000;
}

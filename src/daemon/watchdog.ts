import type { Clock } from '../lib/async/clock.ts';
import { timerBetween } from '../lib/async/timer-between.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Notifier } from '../host/sd-notify.ts';

/**
 * Feeds the watchdog, which waits for `withinMs`, but only while every tunnel's loop shows itself by the time that it announced; `stuck`
 * names those that do not. Ends when the returned function is called.
 */
export function feedWatchdog(
  notifier: Notifier,
  withinMs: number,
  stuck: () => readonly string[],
  { clock, log }: { readonly clock: Clock; readonly log: Pick<Logger, 'error'> },
): () => void {
  let cancel = () => {};
  const feed = () => {
    const names = stuck();
    if (names.length === 0) notifier.watchdog();
    else log.error({ tunnels: names }, 'these tunnels make no progress: the watchdog is not fed');
    cancel = timerBetween(clock, withinMs * EARLIEST, withinMs * LATEST, feed);
  };
  feed();
  return () => cancel();
}

/**
 * Half of the time is what sd_watchdog_enabled(3) advises. Of the minute that the unit has, this is 16 to 32 seconds: along with every second
 * question of a tunnel to its server, and a look at the network.
 */
const EARLIEST = 16 / 60;
const LATEST = 32 / 60;

import type { Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Notifier } from '../host/sd-notify.ts';

/**
 * Feeds the watchdog, but only while every tunnel's loop shows itself by the time that it announced; `stuck` names those that do not.
 * Ends when the returned function is called.
 */
export function feedWatchdog(
  notifier: Notifier,
  everyMs: number,
  stuck: () => readonly string[],
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): () => void {
  let cancel = () => {};
  const feed = () => {
    const names = stuck();
    if (names.length === 0) notifier.watchdog();
    else log.error({ tunnels: names }, 'these tunnels make no progress: the watchdog is not fed');
    cancel = clock.timer(everyMs, feed);
  };
  feed();
  return () => cancel();
}

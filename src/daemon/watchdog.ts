import { sleep } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Clock } from '../lib/async/clock.ts';
import type { Notifier } from '../host/sd-notify.ts';

/** Feeds the watchdog only while every tunnel's loop shows itself by the time that it announced. */
export async function feedWatchdog(
  notifier: Notifier,
  everyMs: number,
  stuck: () => readonly string[],
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const names = stuck();
    if (names.length === 0) notifier.watchdog();
    else log.error({ tunnels: names }, 'these tunnels make no progress: the watchdog is not fed');
    await sleep(clock, everyMs, signal).catch(() => {});
  }
}

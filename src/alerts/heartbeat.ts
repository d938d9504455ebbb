import type { RunningTunnel } from '../supervisor/supervisor.ts';
import type { Clock } from '../lib/async/clock.ts';
import { registerSecret } from '../lib/secrets.ts';
import { decodePercent, errorText, printable } from '../lib/text.ts';
import type { HeartbeatConfig } from '../model/config.ts';
import { fetchOnce } from './fetch-once.ts';

export interface HeartbeatDeps {
  readonly clock: Clock;
  /** Hears why the URL was not fetched, and null when it was. */
  readonly onProblem: (message: string | null) => void;
  /** See fetchOnce(). */
  readonly fetch?: typeof fetchOnce;
}

/**
 * A watcher elsewhere notices when it hears nothing: its URL is fetched again and again while all is well, and not otherwise. The only timer
 * runs while all is well. A fetch that goes wrong is shown, and holds nothing up.
 */
export function createHeartbeat({ clock, onProblem, fetch = fetchOnce }: HeartbeatDeps) {
  let config: HeartbeatConfig = { url: null, everyMs: 0 };
  let well = false;
  let lastBeat = Number.NEGATIVE_INFINITY;
  let cancel = () => {};
  let fetching: AbortController | null = null;

  const beat = (url: string) => {
    lastBeat = clock.now();
    // One that still waits for an answer has waited for long enough.
    fetching?.abort();
    fetching = new AbortController();
    const { signal } = fetching;
    fetch(url, { clock, signal }).then(
      () => onProblem(null),
      (error: unknown) => {
        if (!signal.aborted) onProblem(`heartbeat ${new URL(url).hostname}: ${printable(errorText(error))}`);
      },
    );
  };
  const schedule = () => {
    cancel();
    const { url, everyMs } = config;
    if (url === null || !well) return;
    const dueMs = lastBeat + everyMs - clock.now();
    if (dueMs <= 0) beat(url);
    cancel = clock.timer(Math.max(0, lastBeat + everyMs - clock.now()), schedule);
  };
  return {
    configure: (next: HeartbeatConfig) => {
      if (next.url === config.url && next.everyMs === config.everyMs) return;
      config = next;
      lastBeat = Number.NEGATIVE_INFINITY;
      // The URL lets its holder report in our place that all is well.
      if (next.url === null) onProblem(null);
      else registerUrl(new URL(next.url));
      schedule();
    },
    /** To be called after each change of a tunnel. */
    observe: (tunnels: readonly RunningTunnel[]) => {
      const before = well;
      well = tunnels.length > 0 && tunnels.every(isVerified);
      if (well !== before) schedule();
    },
    stop: () => {
      cancel();
      config = { ...config, url: null };
      fetching?.abort();
    },
  };
}

/** Whichever part of it an error may show: where the watcher is, is no secret. */
function registerUrl({ pathname, search, searchParams, username, password }: URL): void {
  registerSecret(`${pathname}${search}`);
  registerSecret(pathname);
  registerSecret(search.slice(1));
  for (const part of [...pathname.split('/'), ...searchParams.values()]) if (part.length >= TOKEN) registerSecret(part);
  if (password === '') return;
  registerSecret(password);
  registerSecret(decodePercent(password), decodePercent(username));
}

/** Shorter parts are words, such as `status=up`. */
const TOKEN = 8;

/** Up, and every remote listener was seen to lead here, unless the configuration turns that off. */
function isVerified({ spec, state }: RunningTunnel): boolean {
  if (state.phase !== 'up') return false;
  return spec.verify === 'off' || state.forwards.every((f) => f.spec.kind !== 'remote' || f.verified === 'yes');
}

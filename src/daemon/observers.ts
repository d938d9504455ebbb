import { createChangeHook } from '../alerts/on-change.ts';
import { createHeartbeat } from '../alerts/heartbeat.ts';
import type { PageAddress } from '../control/protocol.ts';
import { createWeb, type WebDeps } from '../http/web.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Config } from '../model/config.ts';
import type { RunningTunnel } from '../supervisor/supervisor.ts';
import type { Problems } from './problems.ts';

/** The observers of the tunnels: HTTP clients, a watcher elsewhere, a program. No tunnel waits for them. */
export interface Observers {
  /** To be called after each change of a tunnel, and of the configuration. */
  observe(config: Config, tunnels: readonly RunningTunnel[]): void;
  /** Where a browser sees all that, with a link that lets one in. */
  page(): PageAddress;
  stop(): Promise<void>;
}

export interface ObserversDeps extends Omit<WebDeps, 'onProblem' | 'onError'> {
  readonly log: Pick<Logger, 'error'>;
  readonly problems: Problems;
}

export function createObservers(deps: ObserversDeps): Observers {
  const { clock, log, problems } = deps;
  const onProblem = (about: string) => (message: string | null) => problems.report(about, message);
  const heartbeat = createHeartbeat({ clock, onProblem: onProblem('the heartbeat') });
  const hook = createChangeHook({ clock, onProblem: onProblem('the program of onChange') });
  const web = createWeb({
    ...deps,
    onProblem: onProblem('the metrics listener'),
    onError: (error) => log.error({ code: 'internal', error }, 'a bug: an HTTP request failed'),
  });
  let current: Config | null = null;
  return {
    observe: (config, tunnels) => {
      if (config !== current) {
        current = config;
        heartbeat.configure(config.heartbeat);
        hook.configure(config.onChange);
        // Also where nothing has changed in it: the token may have.
        void web.configure(config.metrics);
      }
      web.changed();
      heartbeat.observe(tunnels);
      hook.observe(tunnels);
    },
    page: () => web.page(),
    stop: async () => {
      heartbeat.stop();
      hook.stop();
      await web.close();
    },
  };
}

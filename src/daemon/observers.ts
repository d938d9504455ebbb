import { createChangeHook } from '../alerts/on-change.ts';
import { createHeartbeat } from '../alerts/heartbeat.ts';
import { createWeb } from '../http/web.ts';
import type { Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Config } from '../model/config.ts';
import type { StatusDocument } from '../status/document.ts';
import type { RunningTunnel } from '../supervisor/supervisor.ts';
import type { Problems } from './problems.ts';

/** Those who are told how the tunnels are: HTTP clients, a watcher elsewhere, a program. No tunnel waits for them. */
export interface Observers {
  /** To be called after each change of a tunnel, and of the configuration. */
  observe(config: Config, tunnels: readonly RunningTunnel[]): void;
  stop(): Promise<void>;
}

export interface ObserversDeps {
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error'>;
  readonly problems: Problems;
  /** The file of the configuration that runs. */
  readonly config: string;
  status(): StatusDocument;
}

export function createObservers({ clock, log, problems, config: file, status }: ObserversDeps): Observers {
  const onProblem = (about: string) => (message: string | null) => problems.report(about, message);
  const heartbeat = createHeartbeat({ clock, onProblem: onProblem('the heartbeat') });
  const hook = createChangeHook({ clock, onProblem: onProblem('the program of onChange') });
  const web = createWeb({
    clock,
    config: file,
    status,
    onProblem: onProblem('the metrics listener'),
    onError: (error) => log.error({ code: 'internal', error }, 'a bug: an HTTP request failed'),
  });
  let current: Config | null = null;
  let metrics = '';
  return {
    observe: (config, tunnels) => {
      if (config !== current) {
        current = config;
        heartbeat.configure(config.heartbeat);
        hook.configure(config.onChange);
        const wanted = JSON.stringify(config.metrics);
        if (wanted !== metrics) void web.configure(config.metrics);
        metrics = wanted;
      }
      heartbeat.observe(tunnels);
      hook.observe(tunnels);
    },
    stop: async () => {
      heartbeat.stop();
      hook.stop();
      await web.close();
    },
  };
}

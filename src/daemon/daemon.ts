import { feedWatchdog } from './watchdog.ts';
import { createHandlers, currentStatus, type HandlersDeps } from './control-handlers.ts';
import { createObservers, type Observers } from './observers.ts';
import { openDevice } from './this-device.ts';
import { join } from 'node:path';
import type { Config } from '../model/config.ts';
import { Configuration, type ConfigurationDeps } from './active-config.ts';
import type { ReloadResult } from '../control/protocol.ts';
import { openControlSocket } from '../control/socket.ts';
import { openHistoryFile } from '../history/history-file.ts';
import { openHistory, type History } from '../history/history.ts';
import { bootId, isClockSynchronised, lastAlive, sinceBoot } from '../host/boot.ts';
import { anyAnswers } from '../host/ping.ts';
import { openLastConnectedFile } from '../host/last-connected-file.ts';
import type { Notifier } from '../host/sd-notify.ts';
import type { LogMemory } from '../lib/log/memory.ts';
import { VERSION } from '../lib/version.ts';
import { summaryLine } from '../status/document.ts';
import { wholeTunnels } from '../supervisor/whole-tunnels.ts';
import { createSupervisor, type RunningTunnel, type Supervisor } from '../supervisor/supervisor.ts';
import type { LoopDeps } from '../supervisor/loop.ts';
import { createSuspects } from '../supervisor/suspects.ts';
import { createIdentityCache } from '../connection/auth/identity-cache.ts';
import type { Problems } from './problems.ts';
import { createRetries } from './retries.ts';

export interface DaemonDeps extends Omit<ConfigurationDeps, 'supervisor' | 'identities'> {
  readonly random: () => number;
  readonly memory: LogMemory;
  readonly notifier: Notifier;
  readonly pid: number;
  /** Why `first` is not what the file has, or null. */
  readonly problem: string | null;
  readonly problems: Problems;
}

export interface Daemon {
  /** Applies the configuration file as it is now; a file that is not valid changes nothing, is logged, and rejects. */
  reload(): Promise<ReloadResult>;
  /** Gives every tunnel a new connection, see Supervisor. */
  reconnect(): Promise<void>;
  /** Closes everything in order, within two seconds. */
  stop(): Promise<void>;
}

/**
 * Starts the tunnels, with or without a control socket. Rejects where another daemon runs the same configuration (AlreadyRunningError);
 * after that only stop() ends it.
 */
export async function startDaemon(first: Config, deps: DaemonDeps): Promise<Daemon> {
  const { clock, log, notifier, problems } = deps;
  const startedAt = clock.now();
  const identities = createIdentityCache();
  const [device, history] = await Promise.all([openDevice(first, deps), openThisHistory(first, deps)]);
  const supervisor = superviseTunnels(
    first,
    { ...deps, identities, device },
    () => configuration.current().network.ping,
  );
  const configuration = new Configuration(first, deps.problem, { ...deps, supervisor, identities });

  const publish = (tunnels: readonly RunningTunnel[]) =>
    notifier.status(summaryLine(tunnels, configuration.state(), problems.list()));
  const publishStatus = () => publish(supervisor.tunnels());
  const change = announced(notifier, publishStatus);
  /** A reload may come because something has changed: no tunnel goes on waiting. */
  const retries = createRetries(clock, supervisor);
  const reload = () => change(() => configuration.reload()).finally(() => retries.retry(null));

  const parts: HandlersDeps = {
    ...deps,
    startedAt,
    supervisor,
    configuration,
    retries,
    history,
    change,
    reload,
    publishStatus,
    taken: device.taken,
    page: () => observers.page(),
  };
  const observers = observersOf(parts, log);
  const control = await openControlSocket(first.control.socket, createHandlers(parts), {
    clock,
    config: first.file,
    onProblem: (message) => problems.report('the control socket', message),
  });
  supervisor.subscribe(() => {
    const tunnels = supervisor.tunnels();
    publish(tunnels);
    const whole = wholeTunnels(tunnels);
    history.observe(whole);
    observers.observe(configuration.current(), whole);
  });
  problems.subscribe(publishStatus);
  log.info({ version: VERSION, pid: deps.pid, config: first.file }, 'tunneld started');
  await configuration.start();
  // Before READY=1, so that the status is there for what waits for that.
  publishStatus();
  notifier.ready();
  const starve =
    notifier.watchdogMs === null
      ? () => {}
      : feedWatchdog(notifier, notifier.watchdogMs, () => supervisor.stuck(), deps);

  return {
    reload: () => {
      // A reload also announces that what kept the socket away is gone.
      void control.ensure();
      return reload();
    },
    reconnect: async () => {
      log.info('every tunnel gets a new connection');
      await supervisor.reconnect();
    },
    stop: async () => {
      notifier.stopping();
      log.info('tunneld stops');
      starve();
      device.stop();
      configuration.stop();
      // First: that the tunnels end is no outage of theirs.
      const recorded = history.stop();
      await Promise.all([supervisor.stop(), control.close(), recorded, observers.stop()]);
      await Promise.all([device.written(), deps.keeper.written()]);
    },
  };
}

function observersOf(parts: HandlersDeps, log: DaemonDeps['log']): Observers {
  const { clock, problems, memory, supervisor, history } = parts;
  return createObservers({
    clock,
    log,
    problems,
    memory,
    tunnels: () => supervisor.tunnels(),
    status: (connections) => currentStatus(parts, connections),
    pasts: () => history.pasts(),
  });
}

/** The outages of the tunnels on this machine, in the state directory. */
function openThisHistory({ stateDirectory }: Config, { clock, problems }: DaemonDeps): Promise<History> {
  const file = openHistoryFile(join(stateDirectory, 'history.jsonl'), (message) =>
    problems.report('the history', message),
  );
  return openHistory({ file, clock, machine: { bootId: bootId(), sinceBoot, isClockSynchronised, lastAlive } });
}

/** `ping` names the hosts to ask at this moment. */
function superviseTunnels(
  { stateDirectory, tunnels }: Config,
  deps: DaemonDeps & Pick<LoopDeps, 'identities' | 'device'>,
  ping: () => readonly string[],
): Supervisor {
  const { clock, problems } = deps;
  const lastConnected = openLastConnectedFile(join(stateDirectory, 'last-connected.json'), (message) =>
    problems.report('the state file of last connections', message),
  );
  return createSupervisor({
    ...deps,
    suspects: createSuspects(lastConnected, tunnels.length - 1, clock),
    ping: () => {
      const hosts = ping();
      return hosts.length === 0 ? null : (signal) => anyAnswers(hosts, signal);
    },
  });
}

/** Notifies the service manager before and after a change of the configuration. */
function announced(notifier: Notifier, publishStatus: () => void): <T>(work: () => Promise<T>) => Promise<T> {
  return async (work) => {
    notifier.reloading();
    try {
      return await work();
    } finally {
      publishStatus();
      notifier.ready();
    }
  };
}

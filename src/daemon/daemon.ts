import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../model/config.ts';
import { createConfiguration, type ConfigurationDeps } from './active-config.ts';
import type { ReloadResult, Request } from '../control/protocol.ts';
import { RequestError, type ControlHandlers } from '../control/server.ts';
import { openControlSocket } from '../control/socket.ts';
import { readHostKeys } from '../host/host-keys.ts';
import { icmpRefusals } from '../host/icmp-refusals.ts';
import { createPinger } from '../host/ping.ts';
import { watchNetwork } from '../host/network-watch.ts';
import { openHoldingsFile } from '../host/holdings-file.ts';
import { readMachine } from '../host/machine.ts';
import { openPortFile } from '../host/source-port-file.ts';
import { unassignedPorts } from '../host/port-range.ts';
import { openSuspectsFile } from '../host/suspects-file.ts';
import type { Notifier } from '../host/sd-notify.ts';
import { unacknowledged } from '../host/tcp-queue.ts';
import { createBell } from '../lib/async/listeners.ts';
import { sleep } from '../lib/async/clock.ts';
import { tunnelOfLine } from '../lib/log/format.ts';
import type { LogMemory } from '../lib/log/memory.ts';
import { errorText } from '../lib/text.ts';
import { VERSION } from '../lib/version.ts';
import { statusDocument, summaryLine } from '../status/document.ts';
import { createSupervisor } from '../supervisor/supervisor.ts';
import { createSuspects } from '../supervisor/suspects.ts';
import { holdingsOf, listenerKeys } from '../forwarding/listeners/holdings.ts';
import { sourcePorts } from '../net/source-ports.ts';
import { createTurns } from '../net/pacing/turns.ts';
import { createIdentityCache } from '../connection/auth/identity-cache.ts';
import type { Problems } from './problems.ts';
import { createRetries } from './retries.ts';

export interface DaemonDeps extends Omit<ConfigurationDeps, 'supervisor' | 'identities'> {
  readonly random: () => number;
  readonly memory: LogMemory;
  readonly notifier: Notifier;
  readonly pid: number;
  /** Why `first` is not what the file says, or null. */
  readonly problem: string | null;
  readonly problems: Problems;
}

export interface Daemon {
  /** Applies the configuration file as it is now; one that is not valid changes nothing, is logged and rejects. */
  reload(): Promise<ReloadResult>;
  /** A new connection for every tunnel, see Supervisor. */
  reconnect(): Promise<void>;
  /** Ends everything politely, within two seconds. */
  stop(): Promise<void>;
}

/**
 * Starts the tunnels, with the control socket or without. Rejects where another daemon runs the same configuration
 * (AlreadyRunningError); from then on only stop() ends it.
 */
export async function startDaemon(first: Config, deps: DaemonDeps): Promise<Daemon> {
  const { clock, log, memory, notifier, problems } = deps;
  const startedAt = clock.now();
  const pinger = createPinger();
  const identities = createIdentityCache();
  const network = watchNetwork(clock);
  network.subscribe((what) => log.debug(what));
  const portMemory = openPortFile(join(first.stateDirectory, 'source-ports.json'), (message) =>
    problems.report('the memory of source ports', message),
  );
  const machine = await readMachine();
  const device = `${hostname()} ${JSON.stringify(machine)}`;
  const portOptions = { memory: portMemory, range: unassignedPorts(), device, random: deps.random };
  const taken = createBell();
  const memoryOfListeners = openHoldingsFile(
    join(first.stateDirectory, 'listeners.json'),
    (deps.lastGood?.config.tunnels ?? []).flatMap(listenerKeys),
    (message) => problems.report('the memory of listeners', message),
  );
  const memoryOfSuspects = openSuspectsFile(join(first.stateDirectory, 'last-connected.json'), (message) =>
    problems.report('the memory of who stopped the process', message),
  );
  const supervisor = createSupervisor({
    clock,
    suspects: createSuspects(memoryOfSuspects, first.tunnels.length - 1, clock),
    random: deps.random,
    log,
    identities,
    device: {
      onChange: (listener) => network.subscribe(listener),
      lostAddress: network.lostAddress,
      unacknowledged,
      hostKeys: () => readHostKeys(),
      holdings: (server) =>
        holdingsOf(server, {
          memory: memoryOfListeners,
          machine,
          day: () => new Date(clock.wall()).toISOString().slice(0, 10),
        }),
      onTaken: taken.listen,
      turns: createTurns({ clock, random: deps.random, icmpRefusals }),
      sourcePorts: (tunnel, server) => sourcePorts(`${tunnel} ${server}`, portOptions),
    },
    ping: () => {
      const hosts = configuration.current().network.ping;
      return hosts.length === 0 ? null : (signal) => pinger.anyAnswers(hosts, signal);
    },
  });
  const ended = new AbortController();

  const configuration = createConfiguration(first, deps.problem, {
    ...deps,
    supervisor,
    identities,
  });

  const tellStatus = () =>
    notifier.status(summaryLine(supervisor.tunnels(), configuration.standing(), problems.list()));

  /** What does not change anything rejects with the reason. */
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    notifier.reloading();
    try {
      return await work();
    } finally {
      tellStatus();
      notifier.ready();
    }
  };

  /** Whoever asks for it may know that something is different now: nobody goes on waiting. */
  const retries = createRetries(clock, supervisor);
  const reload = () => change(configuration.reload).finally(() => retries.retry(null));

  const refuse = (error: unknown): never => {
    throw error instanceof RequestError ? error : new RequestError('config-invalid', errorText(error));
  };

  const handlers: ControlHandlers = {
    handle: async (request: Request) => {
      switch (request.command) {
        case 'status':
          return statusDocument(
            {
              version: VERSION,
              pid: deps.pid,
              config: configuration.current().file,
              standing: configuration.standing(),
              problems: problems.list(),
              startedAt,
            },
            supervisor.tunnels(),
            { now: clock.now(), wall: clock.wall() },
          );
        case 'logs':
          requireTunnel(request.name);
          return null;
        case 'retry':
          requireTunnel(request.name);
          if (request.take === true && request.name !== null) {
            supervisor.take(request.name);
            taken.ring();
            return retries.retry(request.name);
          }
          return retries.retryAsked(request.name);
        case 'reload':
          return await reload().catch(refuse);
        case 'apply':
          return await change(() => configuration.tryOut(request.candidate, request.withinMs)).catch(refuse);
        case 'confirm':
          await configuration.confirm().catch(refuse);
          tellStatus();
          return null;
      }
    },
    streamLogs: ({ name, lines, follow }, write) => {
      const concerns = (line: string) => name === null || tunnelOfLine(line) === name;
      for (const line of memory.recent(lines, concerns)) write(line);
      if (!follow) return null;
      const stop = memory.follow((line) => {
        if (concerns(line)) write(line);
      });
      return { stop };
    },
  };

  function requireTunnel(name: string | null): void {
    const names = supervisor.tunnels().map(({ spec }) => spec.name);
    if (name === null || names.includes(name)) return;
    throw new RequestError(
      'no-such-tunnel',
      `there is no tunnel ${JSON.stringify(name)}; there are: ${names.join(', ')}`,
    );
  }

  const control = await openControlSocket(first.control.socket, handlers, {
    clock,
    config: first.file,
    onProblem: (message) => problems.report('the control socket', message),
  });
  supervisor.subscribe(tellStatus);
  problems.subscribe(tellStatus);
  log.info({ version: VERSION, pid: deps.pid, config: first.file }, 'tunneld started');
  await configuration.start();
  // First, so that whoever waits for READY=1 finds the line.
  tellStatus();
  notifier.ready();
  if (notifier.watchdogMs !== null) {
    void feedWatchdog(notifier, notifier.watchdogMs / 2, () => supervisor.stuck(), deps, ended.signal);
  }

  return {
    reload: () => {
      // Whoever has removed what kept the socket away says so by a reload.
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
      ended.abort(new Error('stopped'));
      network.stop();
      configuration.stop();
      await Promise.all([supervisor.stop(), control.close()]);
    },
  };
}

/** Vouches for the process only while every tunnel's loop keeps the promise of when it would show itself. */
async function feedWatchdog(
  notifier: Notifier,
  everyMs: number,
  stuck: () => readonly string[],
  { clock, log }: DaemonDeps,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const names = stuck();
    if (names.length === 0) notifier.watchdog();
    else log.error({ tunnels: names }, 'a tunnel makes no progress; the watchdog is not fed');
    await sleep(clock, everyMs, signal).catch(() => {});
  }
}

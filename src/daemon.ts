import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Config } from './config/config.ts';
import { RequestError, startControlServer, type ControlHandlers } from './control/server.ts';
import type { ReloadResult, Request } from './control/protocol.ts';
import { readHostKeys } from './host/host-keys.ts';
import { createPinger } from './host/network.ts';
import { watchNetwork } from './host/network-watch.ts';
import { openPortFile } from './host/port-file.ts';
import { unassignedPorts } from './host/port-range.ts';
import type { Notifier } from './host/sd-notify.ts';
import { unacknowledged } from './host/tcp-queue.ts';
import { sleep, type Clock } from './lib/clock.ts';
import { tunnelOfLine } from './lib/log-format.ts';
import type { LogMemory } from './lib/log-memory.ts';
import type { RootLogger } from './lib/log.ts';
import { errorText, printable } from './lib/text.ts';
import { VERSION } from './lib/version.ts';
import { statusDocument, summaryLine } from './supervisor/status.ts';
import { createSupervisor } from './supervisor/supervisor.ts';
import { sourcePorts } from './tunnel/source-ports.ts';
import { createIdentityCache } from './tunnel/ssh2/identities.ts';

export interface DaemonDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: RootLogger;
  readonly memory: LogMemory;
  readonly notifier: Notifier;
  readonly pid: number;
  /** Reads the configuration again; rejects with a text for people when it is not valid. */
  loadConfig(): Promise<Config>;
}

export interface Daemon {
  /** Applies the configuration file as it is now; one that is not valid changes nothing, is logged and rejects. */
  reload(): Promise<ReloadResult>;
  /** Ends everything politely, within two seconds. */
  stop(): Promise<void>;
}

/** Starts the tunnels and the control socket. Rejects when the socket cannot be had; from then on only stop() ends it. */
export async function startDaemon(first: Config, deps: DaemonDeps): Promise<Daemon> {
  const { clock, log, memory, notifier } = deps;
  const startedAt = clock.wall();
  let config = first;
  const pinger = createPinger();
  const identities = createIdentityCache();
  const network = watchNetwork(clock);
  network.subscribe((what) => log.debug(what));
  const portMemory = openPortFile(join(config.stateDirectory, 'source-ports.json'), (message) => log.warn(message));
  const portOptions = { memory: portMemory, range: unassignedPorts(), device: hostname(), random: deps.random };
  const supervisor = createSupervisor({
    clock,
    random: deps.random,
    log,
    identities,
    device: {
      onChange: (listener) => network.subscribe(listener),
      lostAddress: network.lostAddress,
      unacknowledged,
      hostKeys: () => readHostKeys(),
      sourcePorts: (tunnel, server) => sourcePorts(`${tunnel} ${server}`, portOptions),
    },
    ping: () => {
      const hosts = config.network.ping;
      return hosts.length === 0 ? null : (signal) => pinger.anyAnswers(hosts, signal);
    },
  });
  const ended = new AbortController();

  const sayNotes = ({ notes }: Config) => {
    for (const note of notes) log.info(printable(note));
  };

  const reload = async (): Promise<ReloadResult> => {
    notifier.reloading();
    try {
      const next = await deps.loadConfig();
      const notes = restartNotes(config, next);
      config = next;
      log.level = next.log.level;
      sayNotes(next);
      const plan = await supervisor.apply(next.tunnels);
      identities.retain(next.tunnels);
      log.info({ ...plan, notes }, 'configuration reloaded');
      return { plan, notes };
    } catch (error) {
      log.error(`the configuration was not reloaded, everything stays as it was: ${errorText(error)}`);
      throw error;
    } finally {
      notifier.ready();
    }
  };

  const handlers: ControlHandlers = {
    handle: async (request: Request) => {
      switch (request.command) {
        case 'status':
          return statusDocument(
            { version: VERSION, pid: deps.pid, config: config.file, startedAt },
            supervisor.tunnels(),
            clock.wall(),
          );
        case 'logs':
          requireTunnel(request.name);
          return null;
        case 'retry':
          requireTunnel(request.name);
          return supervisor.retry(request.name);
        case 'reload':
          return await reload().catch((error: unknown) => {
            throw new RequestError('config-invalid', errorText(error));
          });
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

  const control = await startControlServer(config.control.socket, handlers);
  supervisor.subscribe(() => notifier.status(summaryLine(supervisor.tunnels())));
  log.info({ version: VERSION, pid: deps.pid, config: config.file }, 'tunneld started');
  sayNotes(config);
  await supervisor.apply(config.tunnels);
  notifier.ready();
  if (notifier.watchdogMs !== null) {
    void feedWatchdog(notifier, notifier.watchdogMs / 2, () => supervisor.stuck(), deps, ended.signal);
  }

  return {
    reload,
    stop: async () => {
      notifier.stopping();
      log.info('tunneld stops');
      ended.abort(new Error('stopped'));
      network.stop();
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

function restartNotes(before: Config, after: Config): readonly string[] {
  return [
    ...(before.control.socket === after.control.socket ? [] : ['control.socket changes at the next start']),
    ...(before.log.file === after.log.file ? [] : ['log.file changes at the next start']),
    ...(before.stateDirectory === after.stateDirectory ? [] : ['stateDirectory changes at the next start']),
  ];
}

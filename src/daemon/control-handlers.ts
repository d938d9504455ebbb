import type { Request, RequestOf, ReloadResult, PageAddress } from '../control/protocol.ts';
import { nativeProblem } from '../connection/ssh2/packets/native.ts';
import { processFigures } from '../host/process-figures.ts';
import { errorText } from '../lib/text.ts';
import { RequestError, type ControlHandlers } from '../control/server.ts';
import { VERSION } from '../lib/version.ts';
import { historyDocument, type HistoryDocument } from '../history/document.ts';
import type { History } from '../history/history.ts';
import { statusDocument, type StatusDocument } from '../status/document.ts';
import type { Retries } from './retries.ts';
import type { Configuration } from './active-config.ts';
import type { Supervisor } from '../supervisor/supervisor.ts';
import { isMeant, tunnelOf } from '../model/redundancy.ts';
import { wholeTunnels } from '../supervisor/whole-tunnels.ts';
import type { Problems } from './problems.ts';
import type { LogMemory } from '../lib/log/memory.ts';
import type { Clock } from '../lib/async/clock.ts';
import { tunnelOfLine } from '../lib/log/format.ts';

/** How the daemon answers on its control socket. */
export function createHandlers(deps: HandlersDeps): ControlHandlers {
  const { memory } = deps;
  return {
    handle: (request) => handle(request, deps),
    streamLogs: ({ name, lines, follow }, write) => {
      const concerns = (line: string) => isMeant(tunnelOfLine(line) ?? '', name);
      for (const line of memory.recent(lines, concerns)) write(line);
      if (!follow) return null;
      const stop = memory.follow((line) => {
        if (concerns(line)) write(line);
      });
      return { stop };
    },
  };
}

export interface HandlersDeps {
  readonly clock: Clock;
  readonly pid: number;
  /** Of the monotonic clock, in milliseconds. */
  readonly startedAt: number;
  readonly memory: LogMemory;
  readonly problems: Problems;
  readonly supervisor: Supervisor;
  readonly configuration: Configuration;
  readonly retries: Retries;
  readonly history: History;
  /** Runs what changes the configuration; the service manager sees a reload meanwhile. */
  change<T>(work: () => Promise<T>): Promise<T>;
  reload(): Promise<ReloadResult>;
  /** For the service manager. */
  publishStatus(): void;
  /** A person has decided that listeners are taken. */
  taken(): void;
  page(): PageAddress;
}

async function handle(request: Request, deps: HandlersDeps): Promise<unknown> {
  const { supervisor, configuration, retries } = deps;
  switch (request.command) {
    case 'status':
      return currentStatus(deps, request.connections);
    case 'history':
      return await history(request, deps);
    case 'page':
      return deps.page();
    case 'logs':
      requireTunnel(request.name, supervisor);
      return null;
    case 'retry':
      requireTunnel(request.name, supervisor);
      if (request.take === true && request.name !== null) {
        supervisor.take(request.name);
        deps.taken();
        return retries.retry(request.name);
      }
      return retries.retryAsked(request.name);
    case 'reload':
      return await deps.reload().catch(refuse);
    case 'apply':
      return await deps.change(() => configuration.tryOut(request.candidate, request.withinMs)).catch(refuse);
    case 'confirm':
      await configuration.confirm().catch(refuse);
      deps.publishStatus();
      return null;
  }
}

/** What is known of the daemon and its tunnels at this moment; with `connections` also of those that are open. */
export function currentStatus(
  { clock, pid, startedAt, problems, supervisor, history, configuration }: HandlersDeps,
  connections = false,
): StatusDocument {
  return statusDocument(
    {
      version: VERSION,
      pid,
      config: configuration.current().file,
      configuration: configuration.state(),
      problems: problems.list(),
      nativeCryptoProblem: nativeProblem(),
      startedAt,
      process: processFigures(),
      outagesOf: (tunnel) => history.outagesOf(tunnel),
    },
    supervisor.tunnels(),
    { now: clock.now(), wall: clock.wall() },
    { connections },
  );
}

/** Of the tunnels that are configured; by its name also of one that was. */
async function history({ name, sinceMs }: RequestOf<'history'>, deps: HandlersDeps): Promise<HistoryDocument> {
  const pasts = await deps.history.pasts();
  // Of a tunnel with several servers there is one history.
  const configured = wholeTunnels(deps.supervisor.tunnels()).map(({ spec }) => spec.name);
  if (name !== null && !pasts.has(name)) requireTunnel(name, deps.supervisor);
  const now = deps.clock.wall();
  return historyDocument(pasts, {
    names: name === null ? configured : [pasts.has(name) ? name : tunnelOf(name)],
    since: Math.max(0, now - sinceMs),
    now,
  });
}

function requireTunnel(name: string | null, supervisor: Supervisor): void {
  const names = supervisor.tunnels().map(({ spec }) => spec.name);
  if (name === null || names.includes(name)) return;
  throw new RequestError(
    'no-such-tunnel',
    `there is no tunnel ${JSON.stringify(name)}; there are: ${names.join(', ')}`,
  );
}

function refuse(error: unknown): never {
  throw error instanceof RequestError ? error : new RequestError('config-invalid', errorText(error));
}

import { dirname, resolve } from 'node:path';
import type { Clock } from '../lib/async/clock.ts';
import { createQueue } from '../lib/async/queue.ts';
import { errorText, printable } from '../lib/text.ts';
import { AlreadyRunningError, listenAt } from './listening.ts';
import type { UnixListener } from '../lib/files/unix-listener.ts';
import { createClients, type Clients } from './clients.ts';
import { ownerSocket } from './protocol.ts';
import { type ControlHandlers, serve } from './server.ts';

/** The control socket of a daemon that runs with or without it. */
export interface ControlSocket {
  /** Creates it where it is missing. */
  ensure(): Promise<void>;
  close(): Promise<void>;
}

export interface ControlSocketDeps {
  readonly clock: Clock;
  /** The configuration that runs here. */
  readonly config: string;
  /** Called with why no command reaches the daemon, and with null once it listens (again). */
  readonly onProblem: (message: string | null) => void;
}

/**
 * Listens on a Unix socket that only its owner may use, and its group where the directory is the one that systemd made for the
 * service: that group is the service's own. Then a second one beside it is for the owner and root alone, so that no member of the
 * group can use up all connections. Where the socket cannot be had, it is tried again every minute. Rejects only where the same
 * configuration runs already (AlreadyRunningError).
 */
export async function openControlSocket(
  path: string,
  handlers: ControlHandlers,
  deps: ControlSocketDeps,
): Promise<ControlSocket> {
  const shared = isOfService(path, process.env['RUNTIME_DIRECTORY']);
  const wanted = [
    { path, mode: shared ? 0o660 : 0o600 } as const,
    ...(shared ? [{ path: ownerSocket(path), mode: 0o600 } as const] : []),
  ];
  const open = new Map<string, { readonly listening: UnixListener; readonly clients: Clients }>();
  let cancelRetry = () => {};
  let closed = false;

  const listenOn = async (wantedSocket: (typeof wanted)[number]) => {
    const before = open.get(wantedSocket.path);
    if (before?.listening.isThere() === true) return;
    open.delete(wantedSocket.path);
    await before?.listening.close();
    before?.clients.closeAll();
    const clients = createClients(MAX_CLIENTS);
    const onConnection = (socket: Parameters<typeof serve>[0]) => serve(socket, clients, handlers);
    open.set(wantedSocket.path, {
      clients,
      listening: await listenAt({ ...wantedSocket, config: deps.config, onConnection }),
    });
  };
  /** Returns what went wrong. */
  const listenOnAll = async (): Promise<readonly unknown[]> => {
    if (closed) return [];
    cancelRetry();
    const failures: unknown[] = [];
    for (const wantedSocket of wanted) await listenOn(wantedSocket).catch((error: unknown) => failures.push(error));
    if (failures.length > 0) cancelRetry = deps.clock.timer(RETRY_MS, () => void ensure());
    return failures;
  };
  const oneAtATime = createQueue();
  const report = (failures: readonly unknown[]) =>
    deps.onProblem(failures.length === 0 ? null : explain(path, failures[0]));
  const ensure = async () => {
    const failures = await oneAtATime(listenOnAll);
    if (!closed) report(failures);
  };

  const failures = await oneAtATime(listenOnAll);
  const alreadyRunning = failures.find((error) => error instanceof AlreadyRunningError);
  if (alreadyRunning !== undefined) {
    cancelRetry();
    throw alreadyRunning;
  }
  report(failures);
  return {
    ensure,
    close: async () => {
      closed = true;
      cancelRetry();
      await oneAtATime(() => {});
      const all = [...open.values()];
      const ended = all.map(({ listening }) => listening.close());
      for (const { clients } of all) clients.closeAll();
      await Promise.all(ended);
    },
  };
}

function explain(path: string, error: unknown): string {
  return `control socket ${printable(path)}: ${printable(errorText(error))}; no command reaches this daemon, which tries again every minute`;
}

const MAX_CLIENTS = 32;

/** The causes (a full disk, a directory that is not mounted yet) seldom end within seconds. */
const RETRY_MS = 60_000;

/** systemd separates the directories by colons (systemd.exec(5)). */
function isOfService(path: string, runtimeDirectory: string | undefined): boolean {
  const [directory = ''] = (runtimeDirectory ?? '').split(':');
  return directory !== '' && dirname(resolve(path)) === resolve(directory);
}

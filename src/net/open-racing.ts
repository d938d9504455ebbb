import type { Socket, TcpNetConnectOpts } from 'node:net';
import { deferred, abortable } from '../lib/async/abort.ts';
import type { Clock } from '../lib/async/clock.ts';
import { aborted, firstToEnd } from '../lib/async/scope.ts';
import { errorCode } from '../lib/text.ts';
import { openSocket, TimeoutError } from './open-socket.ts';
import { resetSocket } from './streams/reset-socket.ts';

/** The local ports to use; null leaves the choice to the system. */
export type PortChoice = { preferred(): number; fresh(): number } | null;

export interface PersistentOptions {
  readonly timeoutMs: number;
  /** Asks once: a firewall may count every packet that it drops. */
  readonly gentle?: boolean;
  readonly ports: PortChoice;
  readonly clock: Clock;
}

/**
 * Opens a TCP connection to one address within `timeoutMs`, from the preferred port. It tries afresh every second and a
 * half, because the kernel repeats a SYN only after 1, 3 and 7 seconds, and a path that comes back in between would go
 * unnoticed. From then on a second attempt runs beside it, from another port and with all the time left: for links
 * whose answers take longer, and for a port that is blocked on the way or on this machine. The first that opens is
 * used. A refusal, or an answer that there is no route, ends both.
 */
export async function openPersistently(
  options: TcpNetConnectOpts,
  { timeoutMs, gentle = false, ports, clock }: PersistentOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const retryMs = gentle ? GENTLE_RETRY_MS : RETRY_MS;
  const patienceMs = gentle ? Math.min(timeoutMs, GENTLE_RETRY_MS) : timeoutMs;
  const deadline = clock.now() + patienceMs;
  const slow = deferred<void>();
  const open = (localPort: number | undefined, ms: number, own: AbortSignal) =>
    openSocket({ ...options, reads: 'own', ...(localPort === undefined ? {} : { localPort }) }, ms, clock, own);

  const openRepeatedly = async (own: AbortSignal) => {
    for (;;) {
      const left = deadline - clock.now();
      try {
        return await open(ports?.preferred(), Math.min(retryMs, left), own);
      } catch (error) {
        if (!isRetryable(error)) throw error;
        slow.resolve();
        if (isPortError(error) || left <= retryMs) throw error;
      }
    }
  };
  const openBeside = async (own: AbortSignal) => {
    await abortable(slow.promise, own);
    if (clock.now() >= deadline) throw new TimeoutError();
    try {
      return await open(ports?.fresh(), deadline - clock.now(), own);
    } catch (error) {
      if (!isPortError(error)) throw error;
      return await open(undefined, deadline - clock.now(), own);
    }
  };
  let running = 2;
  /** A refusal ends both; a time-out only where it was the last. */
  const waitForOther = async (error: unknown, own: AbortSignal) => {
    running -= 1;
    if (running === 0 || !isRetryable(error)) throw error;
    return await aborted(own);
  };
  const attempts = [openRepeatedly, openBeside].map(
    (attempt) => (own: AbortSignal) => attempt(own).catch((error: unknown) => waitForOther(error, own)),
  );

  try {
    return await firstToEnd(signal, attempts, resetSocket);
  } catch (error) {
    throw error instanceof TimeoutError
      ? new TimeoutError(`did not answer within ${Math.round(patienceMs / 1000)} s`)
      : error;
  }
}

const RETRY_MS = 1500;

/** The kernel repeats a SYN once within this time. */
const GENTLE_RETRY_MS = 2900;

function isRetryable(error: unknown): boolean {
  return error instanceof TimeoutError || isPortError(error);
}

/**
 * The local port is taken, or still belongs to a connection between the same two addresses; the server was not asked.
 */
function isPortError(error: unknown): boolean {
  return PORT_ERRORS.includes(errorCode(error) ?? '');
}

const PORT_ERRORS = ['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES'];

import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { Clock } from '../lib/async/clock.ts';

/** The connection was not there in time; what it was is for the caller to say. */
export class TimeoutError extends Error {}

/** A connected socket, or the system's error, a TimeoutError or the signal's reason; in those cases nothing is left open. */
export function openSocket(
  options: NetConnectOpts,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const socket = connect(options);
    const onAbort = () => giveUp(signal.reason as Error);
    const cancel = clock.timer(timeoutMs, () =>
      giveUp(new TimeoutError(`did not answer within ${Math.round(timeoutMs / 1000)} s`)),
    );
    const giveUp = (error: Error) => {
      release();
      socket.destroy();
      reject(error);
    };
    const release = () => {
      cancel();
      signal.removeEventListener('abort', onAbort);
      socket.off('error', giveUp);
      // Until the next owner listens, a late error must not become an uncaught exception.
      socket.on('error', () => {});
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', giveUp);
    socket.once('connect', () => {
      release();
      resolve(socket);
    });
  });
}

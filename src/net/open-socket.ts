import { connect, isIP, type LookupFunction, type NetConnectOpts, type Socket } from 'node:net';
import { onceAborted } from '../lib/async/abort.ts';
import { timerAfterIo, type Clock } from '../lib/async/clock.ts';
import { readIntoLent } from './streams/lent-memory.ts';

/** The connection did not open in time; the caller says which connection. */
export class TimeoutError extends Error {}

/** `reads`: into which memory (see lent-memory.ts); absent: into fresh one each time. */
export type OpenOptions = NetConnectOpts & { readonly reads?: 'own' | 'shared' };

/**
 * Opens a socket. Rejects with the system's error, a TimeoutError or the signal's reason, and then leaves nothing open.
 */
export function openSocket(
  options: OpenOptions,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const reader = options.reads === undefined ? null : readIntoLent(options.reads, clock);
    const all: NetConnectOpts = { ...options };
    connectAtOnce(all);
    if (reader !== null) all.onread = reader.onread;
    const socket = connect(all);
    reader?.attach(socket);
    const onAbort = () => giveUp(signal.reason as Error);
    const late = () => giveUp(new TimeoutError(`did not answer within ${Math.round(timeoutMs / 1000)} s`));
    const cancel = timerAfterIo(clock, timeoutMs, late);
    const giveUp = (error: Error) => {
      release();
      socket.destroy();
      reject(error);
    };
    const release = () => {
      cancel();
      forgetAbort();
      socket.off('error', giveUp);
      // A late error must not become an uncaught exception before the next owner listens.
      socket.on('error', () => {});
    };
    const forgetAbort = onceAborted(signal, onAbort);
    socket.on('error', giveUp);
    socket.once('connect', () => {
      release();
      resolve(socket);
    });
  });
}

/**
 * Node.js connects to an IP address only at the end of the tick, behind all that this has still to do; to a name whose look-up answers at
 * once, it connects at once.
 */
function connectAtOnce(options: NetConnectOpts): void {
  if (!('port' in options) || options.host === undefined) return;
  const { host } = options;
  const family = isIP(host);
  if (family === 0) return;
  options.host = 'target';
  options.autoSelectFamily = false;
  // By a name: V8 puts a function without one, in a property, where only a full garbage collection comes (see guardListeners()).
  const lookup: LookupFunction = (_name, _hints, answer) => answer(null, host, family);
  options.lookup = lookup;
}

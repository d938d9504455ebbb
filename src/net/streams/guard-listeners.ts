import type { Duplex } from 'node:stream';

/** An exception of a stream's listener, which is its `cause`: a bug of ours. */
export class ListenerError extends Error {}

/**
 * Keeps exceptions of a visitor's stream listeners from whatever emits the event. ssh2 emits a channel's data inside
 * its parser and takes an exception for a broken packet, which ends the whole connection; on a socket an exception ends
 * the process. Instead the stream itself emits the exception, once, as a ListenerError, and is destroyed.
 *
 * What is done for each visitor gives no property of an object a function without a name, as in `stream.emit = () => …`: V8 takes it for a
 * method, which lives long, and puts it where only a full garbage collection comes, with the visitor that it leads to.
 */
export function guardListeners<T extends Duplex>(stream: T): T {
  const emit = stream.emit.bind(stream) as (event: string | symbol, ...args: unknown[]) => boolean;
  let failed = false;
  const fail = (cause: unknown) => {
    if (failed) return;
    failed = true;
    stream.emit('error', new ListenerError('an exception in a listener', { cause }));
    stream.destroy();
  };
  const guarded = (event: string | symbol, ...args: unknown[]) => {
    try {
      return emit(event, ...args);
    } catch (error) {
      fail(error);
      return true;
    }
  };
  stream.emit = guarded;
  return stream;
}

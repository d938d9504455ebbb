import type { Duplex } from 'node:stream';

/** What a listener of a stream threw, which is its `cause`: a bug of ours. */
export class ListenerError extends Error {}

/**
 * Keeps what the listeners of a visitor's stream throw from whoever emits. ssh2 emits a channel's data in the midst of its parser
 * and takes an exception for a broken packet, which ends the connection of all; Node takes one of a socket for the end of the
 * process. In place of that the stream itself emits the exception, once, as a ListenerError, and is destroyed.
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
  stream.emit = (event: string | symbol, ...args: unknown[]) => {
    try {
      return emit(event, ...args);
    } catch (error) {
      fail(error);
      return true;
    }
  };
  return stream;
}

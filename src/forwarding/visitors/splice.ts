import type { Clock } from '../../lib/async/clock.ts';
import { deferred } from '../../lib/async/abort.ts';
import { deliverThenClose } from '../../net/deliver.ts';
import type { Device } from '../../net/device.ts';
import { corkWrites } from '../../net/streams/cork-writes.ts';
import type { DeviceSocket } from '../../net/streams/device-socket.ts';
import { lentWrites } from '../../net/streams/lent-writes.ts';
import { afterRead, isLent, keepLent, mayKeepLent, readerOf, type Take } from '../../net/streams/lent-memory.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';
import { ListenerError } from '../../net/streams/guard-listeners.ts';
import type { Channel } from '../../connection/ssh/connection.ts';
import type { Transport } from '../../net/transport.ts';
import { createUnsentRest } from './unsent-rest.ts';

/** How a visit ended. */
type Ending = 'closed' | 'reset by the visitor' | 'reset by the target' | 'connection lost' | 'a bug';

/** Two joined streams. `ended` resolves with how they ended, at the latest after `abort`. */
export interface Splice {
  readonly ended: Promise<Ending>;
  /** What one of the listeners threw, or null. */
  bug(): unknown;
  /**
   * The SSH connection is lost: resets the socket, because the data written to it may be incomplete. A socket to which everything was
   * written, the end included, has LINGER_MS to read it.
   */
  abort(): void;
}

interface SpliceOptions {
  /** Which of the two is the visitor's; the other is the target's. */
  readonly visitor: 'channel' | 'socket';
  readonly transport: Transport;
  readonly clock: Clock;
  readonly unacknowledged: Device['unacknowledged'];
  /** Called with the bytes of every chunk: `in` is from the visitor to the target. */
  count(direction: 'in' | 'out', bytes: number): void;
}

/**
 * Joins a channel and a socket of this device (which must have allowHalfOpen), one of them the visitor's, the other its target's. The end
 * of stream is passed on in each direction separately, and a side that stops reading pauses only the reading of the other side. A reset
 * of the socket closes the channel; a channel that closes, with an end of stream or without, ends the socket after the delivery of all
 * data before. Both must have guardListeners(). Nothing is left when both are closed: a channel without a reader never closes, so
 * it is drained at the end.
 */
export function splice(channel: Channel, socket: DeviceSocket, options: SpliceOptions): Splice {
  const [byChannel, bySocket] = resets(options.visitor);
  const ended = deferred<Ending>();
  let how: Ending = 'closed';
  let bug: unknown = null;
  /** All data for the socket has been written to it, and the end. */
  let complete = false;
  let channelClosed = false;
  let socketClosed = false;
  const downlink = startDownlink(channel, socket, options);
  const uplink = startUplink(channel, socket, options);
  const delivery = createDelivery(socket, options, () => (how = byChannel));

  onceEnded(channel, () => {
    // ssh2 ends its channels also when the connection dies: the data until then is incomplete.
    if (options.transport.lost()) {
      how = 'connection lost';
      resetSocket(socket);
      return;
    }
    complete = true;
    downlink.flush();
    socket.end();
  });
  onceEnded(socket, () => uplink.end());
  // A reset of the socket comes as an error before its close; a channel's other errors are writes after its end.
  socket.on('error', (error) => onError(error, bySocket));
  channel.on('error', (error) => onError(error, how));

  channel.on('close', () => {
    channelClosed = true;
    uplink.stop();
    downlink.flush();
    if (!socketClosed) delivery.start();
    finishIfClosed();
  });
  const onSocketClose = () => {
    socketClosed = true;
    delivery.stop();
    uplink.stop();
    channel.resume();
    if (!channelClosed) closeAfterItsEnd(channel);
    finishIfClosed();
  };
  socket.on('close', onSocketClose);
  // The visitor may have left before the listeners were added.
  if (socket.closed) onSocketClose();

  function onError(error: Error, ending: Ending): void {
    if (bug !== null) return;
    if (!(error instanceof ListenerError)) {
      how = ending;
      return;
    }
    how = 'a bug';
    bug = error.cause ?? error;
    stopReading(channel).resume().close();
    resetSocket(socket);
  }

  function finishIfClosed(): void {
    if (channelClosed && socketClosed) ended.resolve(how);
  }

  return {
    ended: ended.promise,
    bug: () => bug,
    abort: () => {
      if (!channelClosed) how = 'connection lost';
      ended.resolve(how);
      if (socketClosed) return;
      uplink.stop();
      stopReading(channel);
      if (complete) delivery.startWithin(LINGER_MS);
      else delivery.reset();
    },
  };
}

/** 'end' may already have fired while the first bytes were peeked at. */
function onceEnded(stream: Channel | DeviceSocket, onEnd: () => void): void {
  stream.on('end', onEnd);
  if (stream.readableEnded) onEnd();
}

function stopReading(channel: Channel): Channel {
  channel.onLent = null;
  return channel.removeAllListeners('data');
}

function closeAfterItsEnd(channel: Channel): void {
  if (channel.writableFinished) channel.close();
  else {
    channel.once('finish', () => channel.close());
    channel.end();
  }
}

function resets(visitor: SpliceOptions['visitor']): readonly [Ending, Ending] {
  const endings = ['reset by the visitor', 'reset by the target'] as const;
  return visitor === 'channel' ? endings : [endings[1], endings[0]];
}

/** How much may wait for a socket that is slower than its channel, besides the channel's own window; less where that is small. */
const UNSENT_BYTES = 256 * 1024;

/** Each chunk is an object, however small, and counts as this much at least. */
const CHUNK_BYTES = 1024;

/** How long a socket may read on after the connection was lost. */
const LINGER_MS = 30_000;

/** Ends a socket whose channel is closed: all that was written to it is delivered first. */
function createDelivery(socket: DeviceSocket, { clock, unacknowledged }: SpliceOptions, onReset: () => void) {
  let stop = () => {};
  const start = () => {
    stop();
    stop = deliverThenClose(socket, { clock, unacknowledged, onReset });
  };
  const reset = () => {
    stop();
    resetSocket(socket);
  };
  return {
    start,
    stop: () => stop(),
    reset,
    startWithin: (ms: number) => {
      start();
      socket.once('close', clock.timer(ms, reset));
    },
  };
}

/** Channel to socket: reads the channel only while little waits for the socket. */
function startDownlink(channel: Channel, socket: DeviceSocket, { count, visitor }: SpliceOptions): { flush(): void } {
  const direction = visitor === 'channel' ? 'in' : 'out';
  const { cork, uncork } = corkWrites(socket);
  let unsent = 0;
  const lent = writeLent(socket);
  // Not by the result of write(), which is false for every packet above Node's small highWaterMark even when the kernel took it.
  const write = (chunk: Buffer) => {
    cork();
    unsent += 1;
    socket.write(lent.toWrite(chunk), onSent);
    if (!mustWait()) return;
    // Most of it may wait for the end of this read only.
    uncork();
    if (mustWait()) channel.pause();
  };
  const past = lentWrites(socket, write);
  // By a name: V8 puts a function without one, in a property, where only a full garbage collection comes (see guardListeners()).
  const unsentBytes = () => socket.writableLength + (past?.waiting() ?? 0);
  channel.unsent = unsentBytes;
  channel.takesLent = true;

  const onData = (chunk: Buffer) => {
    count(direction, chunk.length);
    if (socket.writable && past?.take(chunk) !== true) write(chunk);
  };
  const onLent: Take = (memory, start, end) => {
    try {
      count(direction, end - start);
      if (socket.writable && past?.takeLent(start, end) !== true) write(memory.subarray(start, end));
    } catch (cause) {
      // guardListeners() catches what listeners of events throw; this is called by ssh2's parser, which serves all channels.
      channel.emit('error', new ListenerError('an exception while reading', { cause }));
      channel.destroy();
    }
  };
  channel.on('data', onData);
  // The first bytes come through the stream: who looks at them is there (see verify/intercept.ts).
  channel.once('data', () => (channel.onLent = onLent));
  const mustWait = () => {
    const room = Math.min(UNSENT_BYTES, channel.readableHighWaterMark);
    return socket.writableLength > room || unsent > room / CHUNK_BYTES;
  };
  function onSent(): void {
    unsent -= 1;
    if (unsent === 0) lent.written();
    if (channel.isPaused() && !mustWait()) channel.resume();
  }
  return { flush: () => past?.flush() };
}

/**
 * What is to be written of lent bytes: they themselves where the operating system probably takes them at once; else a copy. Where it
 * does not, the memory is kept until all is `written`: once for a socket, however slow it is.
 */
function writeLent(socket: DeviceSocket): { toWrite(chunk: Buffer): Buffer; written(): void } {
  let watching = false;
  let copies = false;
  let release = () => {};
  const look = () => {
    watching = false;
    if (!copies && socket.writableLength > 0) release = keepLent();
  };
  return {
    toWrite: (chunk) => {
      if (!isLent(chunk)) return chunk;
      if (!watching) {
        watching = true;
        // Nothing of this read is in it yet.
        copies = socket.writableLength > 0 || !mayKeepLent();
        afterRead(look);
      }
      return copies ? Buffer.from(chunk) : chunk;
    },
    written: () => {
      release();
      release = () => {};
    },
  };
}

interface Uplink {
  /** Ends the channel behind all that was read. */
  end(): void;
  stop(): void;
}

/** Socket to channel: reads the socket only while the channel's window and the connection below have room. */
function startUplink(channel: Channel, socket: DeviceSocket, { transport, count, visitor }: SpliceOptions): Uplink {
  let paused = false;
  let forget = () => {};

  const direction = visitor === 'channel' ? 'out' : 'in';

  const onData = (chunk: Buffer) => {
    if (!channel.writable) return;
    rest.toStream();
    count(direction, chunk.length);
    transport.cork();
    channel.write(chunk, resumeWhenFree);
    waitIfFull();
  };
  const waitIfFull = () => {
    if (paused || !mustWait()) return;
    paused = true;
    socket.pause();
    forget = transport.onceDrained(resumeWhenFree);
  };
  const mustWait = () => rest.waits() || channel.writableLength > 0 || transport.congested();
  function resumeWhenFree(): void {
    if (!paused) return;
    if (mustWait()) {
      if (transport.congested()) forget = transport.onceDrained(resumeWhenFree);
      return;
    }
    paused = false;
    forget();
    socket.resume();
  }

  const rest = createUnsentRest(channel, resumeWhenFree);
  socket.on('data', onData);
  const reader = readerOf(socket);
  const take: Take = (memory, start, end) => {
    const mayPass = !rest.waits() && !transport.congested();
    const sent = mayPass ? (channel.sendNow?.(memory, start, end) ?? 0) : 0;
    const isKept = mayPass && start + sent < end && rest.keep(memory, start + sent, end);
    if (sent > 0 || isKept) {
      count(direction, isKept ? end - start : sent);
      waitIfFull();
    }
    // What waits for something else is copied, because the channel keeps it.
    if (!isKept && start + sent < end) onData(Buffer.from(memory.subarray(start + sent, end)));
  };
  const most = () => Math.min(transport.readAtOnce(), channel.mostAtOnce?.() ?? Number.POSITIVE_INFINITY);
  reader?.direct(take, { most });
  return {
    end: () => {
      rest.toStream();
      if (!channel.writableEnded) channel.end();
    },
    stop: () => {
      reader?.direct(null);
      rest.toStream();
      forget();
      paused = false;
      socket.off('data', onData);
      socket.resume();
    },
  };
}

import { Socket } from 'node:net';
import type { Clock } from '../lib/async/clock.ts';
import type { SocketAddresses } from './device.ts';
import type { DeviceSocket } from './streams/device-socket.ts';
import { corkWrites } from './streams/cork-writes.ts';
import { onBytes } from './streams/lent-memory.ts';
import { createReadPace, MOST_AT_ONCE } from './read-pace.ts';
import { unsentLimiter } from './streams/unsent-limiter.ts';
import { bytesWrittenTo, descriptorOf } from './streams/send-past.ts';
import type { SshStream } from './streams/stream-adapter.ts';

/** The transport below an SSH connection, as its users need to know it. */
export interface Transport {
  /** True as soon as it is gone, before anything above is notified. */
  lost(): boolean;
  /** Corks the stream, so that everything written within this tick leaves in one system call. */
  cork(): void;
  /** True while so much is queued that senders should stop reading. */
  congested(): boolean;
  /** How many bytes to read at once for it (see read-pace.ts). To be asked before each read. */
  readAtOnce(): number;
  /** Calls `resume` once when the queue is empty; the result unsubscribes. */
  onceDrained(resume: () => void): () => void;
  traffic(): Omit<Traffic, 'unacknowledged'>;
  /** The addresses of the TCP connection at the bottom, or null where it is not ours. */
  readonly addresses: SocketAddresses | null;
  /** Whether that connection leads to the server itself, so that what it acknowledges has reached the server. */
  readonly direct: boolean;
}

/** `below` is the transport of the SSH connection that carries this one, if there is one. */
export function createTransport(
  socket: SshStream,
  { addresses, direct }: Pick<Transport, 'addresses' | 'direct'>,
  clock: Clock,
  below: Transport | null = null,
): Transport {
  const waiting = new Set<() => void>();
  const pace = createReadPace();
  const limitUnsent = socket instanceof Socket ? unsentLimiter(socket) : () => {};
  let heardAt = clock.now();
  onBytes(socket, () => (heardAt = clock.now()));
  socket.on('drain', () => {
    pace.waited();
    const resumed = [...waiting];
    waiting.clear();
    for (const resume of resumed) resume();
  });
  const bytesSent = () => bytesWrittenTo(socket) - socket.writableLength;
  // Of less there is no 'drain': newer versions of Node.js let 64 KiB wait before they speak of any.
  const congestedBytes = () =>
    pace.last() === MOST_AT_ONCE ? CONGESTED_BYTES : Math.max(pace.last(), socket.writableHighWaterMark);
  return {
    lost: () => socket.destroyed,
    cork: corkWrites(socket).cork,
    congested: () => socket.writableLength > congestedBytes() || (below?.congested() ?? false),
    readAtOnce: () => {
      if (below !== null) return below.readAtOnce();
      const bytes = pace.atOnce(clock.now(), socket.writableLength > 0, bytesSent);
      limitUnsent(bytes === MOST_AT_ONCE ? UNSENT_BYTES : bytes);
      return bytes;
    },
    onceDrained: (resume) => {
      // A few bytes above may leave without a 'drain'; what holds senders up is then below.
      if (below !== null && socket.writableLength <= congestedBytes()) return below.onceDrained(resume);
      waiting.add(resume);
      return () => waiting.delete(resume);
    },
    traffic: () => {
      // What has left this connection may still be queued in the one below.
      const backlog = socket.writableLength + (below?.traffic().backlog ?? 0);
      return { heardAt, bytesSent: bytesWrittenTo(socket) - backlog, backlog };
    },
    addresses,
    direct,
  };
}

/** The addresses of a socket, to be read while it is open: a closed one no longer has them. */
export function addressesOf(socket: DeviceSocket): SocketAddresses {
  const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = socket;
  return { descriptor: () => descriptorOf(socket), localAddress, localPort, remoteAddress, remotePort };
}

/** Enough to keep a fast link busy. On a slow one it is as much as is read at once. */
const CONGESTED_BYTES = 512 * 1024;

/** What the kernel may keep there besides what is on its way; on the slowest of fast links it takes 40 ms. */
const UNSENT_BYTES = 1024 * 1024;

/** Counters of the socket at one moment. */
export interface Traffic {
  /** When the last byte came, in the caller's monotonic milliseconds. */
  readonly heardAt: number;
  /** Bytes of ours that the operating system has taken. */
  readonly bytesSent: number;
  /** Bytes of ours that it has not taken yet, because its own buffer is full. */
  readonly backlog: number;
  /** Bytes that it has taken and the peer has not acknowledged, or null where the system does not report it. */
  readonly unacknowledged: number | null;
}

import type { Socket } from 'node:net';
import type { Clock } from '../lib/async/clock.ts';
import type { SocketAddresses } from './device.ts';
import { corkWrites } from './cork-writes.ts';
import type { SshStream } from './stream-adapter.ts';

/** What is below an SSH connection, as far as those who share it need to know. */
export interface Transport {
  /** True as soon as it is gone, before anybody above is told. */
  lost(): boolean;
  /** Gathers all that is written within this tick into one system call. */
  cork(): void;
  /** True while so much waits to be sent that senders should stop reading. */
  congested(): boolean;
  /** Calls `resume` once when nothing waits any more; the answer forgets it. */
  onceDrained(resume: () => void): () => void;
  traffic(): Omit<Traffic, 'unacknowledged'>;
  /** The TCP connection at the bottom, or null where there is none of ours. */
  readonly addresses: SocketAddresses | null;
  /** Whether that leads to the server itself, so that what it acknowledges is what the server has got. */
  readonly direct: boolean;
}

/** `below` is the transport of the connection that carries this one, if another SSH connection does. */
export function createTransport(
  socket: SshStream,
  { addresses, direct }: Pick<Transport, 'addresses' | 'direct'>,
  clock: Clock,
  below: Transport | null = null,
): Transport {
  const waiting = new Set<() => void>();
  let heardAt = clock.now();
  socket.on('data', () => (heardAt = clock.now()));
  socket.on('drain', () => {
    const resumed = [...waiting];
    waiting.clear();
    for (const resume of resumed) resume();
  });
  return {
    lost: () => socket.destroyed,
    cork: corkWrites(socket),
    congested: () => socket.writableLength > CONGESTED_BYTES || (below?.congested() ?? false),
    onceDrained: (resume) => {
      // A few bytes above may go out without a sign; what makes senders wait is then below.
      if (below !== null && socket.writableLength <= CONGESTED_BYTES) return below.onceDrained(resume);
      waiting.add(resume);
      return () => waiting.delete(resume);
    },
    traffic: () => {
      // What has left this connection may still wait in the one below.
      const backlog = socket.writableLength + (below?.traffic().backlog ?? 0);
      return { heardAt, bytesSent: socket.bytesWritten - backlog, backlog };
    },
    addresses,
    direct,
  };
}

/** The two ends of a socket, to be asked while it is open: one that was closed no longer knows them. */
export function addressesOf({
  localAddress = '',
  localPort = 0,
  remoteAddress = '',
  remotePort = 0,
}: Socket): SocketAddresses {
  return { localAddress, localPort, remoteAddress, remotePort };
}

/** Enough to keep a fast link busy, little enough that a keystroke does not wait behind it for long on a slow one. */
const CONGESTED_BYTES = 512 * 1024;

/** Counters of the socket at one moment. */
export interface Traffic {
  /** When the last byte came, in the caller's monotonic milliseconds. */
  readonly heardAt: number;
  /** Bytes of ours that the operating system has taken. */
  readonly bytesSent: number;
  /** Bytes of ours that it has not taken yet, because its own buffer is full. */
  readonly backlog: number;
  /** Bytes that it has taken and the peer has not acknowledged, or null where the system does not tell. */
  readonly unacknowledged: number | null;
}

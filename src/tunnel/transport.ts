import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import type { Ends } from './device.ts';
import { gatherWrites } from './gather.ts';
import type { Traffic } from './liveness.ts';

/** The socket below an SSH connection, as far as those who share it need to know. */
export interface Transport {
  /** Gathers all that is written within this tick into one system call. */
  gather(): void;
  /** True while so much waits to be sent that senders should stop reading. */
  congested(): boolean;
  /** Calls `resume` once when nothing waits any more; the answer forgets it. */
  onceDrained(resume: () => void): () => void;
  traffic(): Omit<Traffic, 'unacknowledged'>;
  readonly ends: Ends;
}

export function createTransport(socket: Socket, clock: Clock): Transport {
  const waiting = new Set<() => void>();
  let heardAt = clock.now();
  socket.on('data', () => (heardAt = clock.now()));
  // A socket that was closed no longer knows them.
  const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = socket;
  socket.on('drain', () => {
    const resumed = [...waiting];
    waiting.clear();
    for (const resume of resumed) resume();
  });
  return {
    gather: gatherWrites(socket),
    congested: () => socket.writableLength > CONGESTED_BYTES,
    onceDrained: (resume) => {
      waiting.add(resume);
      return () => waiting.delete(resume);
    },
    traffic: () => ({
      heardAt,
      bytesSent: socket.bytesWritten - socket.writableLength,
      backlog: socket.writableLength,
    }),
    ends: { localAddress, localPort, remoteAddress, remotePort },
  };
}

/** Enough to keep a fast link busy, little enough that a keystroke does not wait behind it for long on a slow one. */
const CONGESTED_BYTES = 512 * 1024;

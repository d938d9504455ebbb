import { loadAddon } from '../../lib/addon.ts';
import { systemError } from '../../lib/system-error.ts';
import type { DeviceSocket } from './device-socket.ts';
import { afterRead, isLent, lentMemory } from './lent-memory.ts';
import { descriptorOf } from './send-past.ts';

/** Lent bytes on their way past a socket's stream. */
export interface LentWrites {
  /** Takes bytes, to be sent behind all that this read brings; false where they have to be written to the stream. */
  take(bytes: Buffer): boolean;
  /** The same, of the memory that is lent now. */
  takeLent(start: number, end: number): boolean;
  /** Sends what was taken. */
  flush(): void;
  /** How many bytes were taken and not sent. */
  waiting(): number;
}

/**
 * Sends lent bytes without the stream of their socket, those of a read in one system call: a write to the stream costs more than to open
 * the packet. Only while nothing waits in the stream: `write` gets what the operating system does not take at once, in order. Null where
 * there is no addon.
 */
export function lentWrites(socket: DeviceSocket, write: (bytes: Buffer) => void): LentWrites | null {
  const { addon } = loadAddon();
  const fd = descriptorOf(socket);
  if (addon === null || fd === null) return null;
  let pieces = NONE;
  let memory: Buffer | null = null;
  let count = 0;
  let waiting = 0;
  const flush = () => {
    if (memory === null) return;
    const [from, list, taken, bytes] = [memory, pieces, count, waiting];
    memory = null;
    count = waiting = 0;
    // The descriptor of a socket that is destroyed may be another's by now.
    if (socket.writable) {
      let sent = addon.send(fd, from, list, taken);
      if (sent < 0) socket.destroy(systemError('write', sent));
      else socket.sentPast?.(sent);
      for (let i = 0; sent >= 0 && sent < bytes && i < 2 * taken; i += 2) {
        const [start, length] = [list[i]!, list[i + 1]!];
        if (sent < length) write(from.subarray(start + sent, start + length));
        sent = Math.max(0, sent - length);
      }
    }
    spare.push(list);
  };
  const takeLent = (start: number, end: number) => {
    if (count === MOST_PIECES) flush();
    const now = lentMemory();
    if (now === null || socket.writableLength > 0) {
      flush();
      return false;
    }
    if (memory === null) {
      memory = now;
      pieces = spare.pop() ?? new Uint32Array(2 * MOST_PIECES);
      afterRead(flush);
    }
    pieces[2 * count] = start;
    pieces[2 * count + 1] = end - start;
    count += 1;
    waiting += end - start;
    return true;
  };
  return {
    take: (bytes) => {
      if (isLent(bytes)) return takeLent(bytes.byteOffset, bytes.byteOffset + bytes.length);
      flush();
      return false;
    },
    takeLent,
    flush,
    waiting: () => waiting,
  };
}

/** Lists of pieces, for all sockets: one is needed from the first piece of a read to its end. */
const spare: Uint32Array<ArrayBuffer>[] = [];
const NONE = new Uint32Array(0);
/** More than large packets of one read. */
const MOST_PIECES = 32;

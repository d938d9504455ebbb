import type { Socket } from 'node:net';
import { loadAddon } from '../../lib/addon.ts';
import { systemError } from '../../lib/system-error.ts';
import type { DeviceSocket } from './device-socket.ts';

/** Sends of the first `length` bytes what the operating system takes at once; returns how many that were. */
type SendPast = (bytes: Buffer, length: number) => number;

/**
 * Sends without the stream of a socket, while nothing waits in it: a write to the stream runs through so much code that it costs more than
 * the sealing of what is written. Null where there is no addon.
 */
export function senderPast(socket: Socket): SendPast | null {
  const { addon } = loadAddon();
  if (addon === null) return null;
  const piece = new Uint32Array(2);
  const descriptor = descriptorReader(socket);
  const written = { bytes: 0 };
  past.set(socket, written);
  return (bytes, length) => {
    const fd = descriptor();
    // The descriptor of a socket that is destroyed may be another's by now.
    if (fd === null || !socket.writable || socket.writableLength > 0) return 0;
    piece[1] = length;
    const sent = addon.send(fd, bytes, piece, 1);
    if (sent < 0) {
      socket.destroy(systemError('write', sent));
      return 0;
    }
    written.bytes += sent;
    return sent;
  };
}

/** The file descriptor of an open socket; null where there is none. */
export function descriptorOf(socket: DeviceSocket): number | null {
  const { descriptor, _handle: handle } = socket as HasDescriptor;
  const fd = descriptor ?? handle?.fd ?? -1;
  return fd < 0 ? null : fd;
}

/** The same for who asks for it again and again: a handle keeps its descriptor until it is closed, and then the socket has none. */
export function descriptorReader(socket: DeviceSocket): () => number | null {
  let handle: HasDescriptor['_handle'] = null;
  let fd: number | null = null;
  return () => {
    const { _handle: now } = socket as HasDescriptor;
    if (now == null) return null;
    if (now !== handle) {
      handle = now;
      fd = descriptorOf(socket);
    }
    return fd;
  };
}

/** Of a NativeSocket, or of node:net. */
interface HasDescriptor {
  readonly descriptor?: number | null;
  readonly _handle?: { readonly fd?: number } | null;
}

/** What has been written to a stream, past it too; `bytesWritten` of Node's knows nothing of that. */
export function bytesWrittenTo(stream: { readonly bytesWritten: number }): number {
  return stream.bytesWritten + (past.get(stream)?.bytes ?? 0);
}

const past = new WeakMap<object, { readonly bytes: number }>();

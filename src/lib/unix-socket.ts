import { lstatSync } from 'node:fs';
import { connect, type ListenOptions, type Server } from 'node:net';
import { errorCode } from './text.ts';
import { orElse } from './or-else.ts';

/** The limit of an address on Linux, in bytes and without its terminator (unix(7)); Node would cut a longer path. */
export const MAX_SOCKET_PATH = 107;

/**
 * Connects to a Unix socket and closes the connection: null where it is accepted, else the system's error code, such as
 * ECONNREFUSED.
 */
export function connectError(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(null);
    });
    socket.once('error', (error) => resolve(errorCode(error) ?? error.message));
  });
}

/**
 * Listens. A Unix socket never exists with wider permissions than `mask` leaves: with a chmod(2) afterwards it would be
 * open until then, and a link could redirect that. Rejects with the system's error; later errors of the server are
 * ignored.
 */
export function listenWithMask(server: Server, options: ListenOptions, mask = 0): Promise<void> {
  return new Promise((resolve, reject) => {
    const before = options.path === undefined ? null : process.umask(mask);
    server.once('error', reject);
    try {
      server.listen(options, () => {
        server.off('error', reject);
        server.on('error', () => {});
        resolve();
      });
    } finally {
      if (before !== null) process.umask(before);
    }
  });
}

/** Identifies the file at a path, for a later comparison; null where there is none. */
export function fileIdentity(path: string): string | null {
  const stats = orElse(() => lstatSync(path, { bigint: true }), null);
  return stats && `${stats.dev}:${stats.ino}`;
}

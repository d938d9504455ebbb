import { lstatSync } from 'node:fs';
import { connect, type ListenOptions, type Server } from 'node:net';
import { errorCode } from './text.ts';

/** Null where a connection to the Unix socket is accepted, which is then closed; else the system's error code, such as ECONNREFUSED. */
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
 * Listens. A Unix socket never exists with wider permissions than `mask` leaves: a chmod(2) afterwards would leave it open until then, and
 * could be led elsewhere by a link. Rejects with the system's error; later errors of the server are ignored.
 */
export function listenWithMask(server: Server, options: ListenOptions, mask: number): Promise<void> {
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

/** Which file lies at a path, to be compared later; null where none does. */
export function fileIdentity(path: string): string | null {
  try {
    const { dev, ino } = lstatSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

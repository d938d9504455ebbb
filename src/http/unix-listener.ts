import { lstat, unlink } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { errorCode } from '../lib/text.ts';
import { connectError, fileIdentity, listenWithMask, MAX_SOCKET_PATH } from '../lib/unix-socket.ts';

/**
 * Listens on a Unix socket that only its owner may use, in a directory that is made where it is missing; the result ends that. A socket
 * behind which nothing listens any more is replaced. Rejects where the path is taken, or is not ours to write.
 */
export async function listenAtPath(path: string, onConnection: (socket: Socket) => void): Promise<() => Promise<void>> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new Error(`the path is longer than ${MAX_SOCKET_PATH} bytes: choose a shorter one with metrics.listen`);
  checkRootMayWrite(path);
  makeDirectory(dirname(path));
  const server = createServer(onConnection);
  try {
    await listenWithMask(server, { path }, MASK);
  } catch (error) {
    if (errorCode(error) !== 'EADDRINUSE') throw error;
    await removeStale(path);
    await listenWithMask(server, { path }, MASK);
  }
  const identity = fileIdentity(path);
  return async () => {
    const now = fileIdentity(path);
    // Node removes what is at the path, and that may be another program's by now.
    if (now === identity || now === null) await new Promise((resolve) => server.close(resolve));
    else server.unref();
  };
}

/** Leaves mode 0600. */
const MASK = 0o177;

async function removeStale(path: string): Promise<void> {
  if (!(await lstat(path)).isSocket())
    throw new Error('the path exists and is not a socket; choose another one with metrics.listen');
  if ((await connectError(path)) !== 'ECONNREFUSED')
    throw new Error('another program listens there; choose another path with metrics.listen');
  await unlink(path);
}

import { lstat, unlink } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { listenOnUnixSocket } from '../lib/files/unix-listener.ts';
import { connectError } from '../lib/unix-socket.ts';

/**
 * Listens on a Unix socket that only its owner may use, in a directory that is made where it is missing; the result ends that. A socket
 * behind which nothing listens any more is replaced. Rejects where the path is taken, or is not ours to write.
 */
export async function listenAtPath(path: string, onConnection: (socket: Socket) => void): Promise<() => Promise<void>> {
  checkRootMayWrite(path);
  const removeStale = () => removeDead(path);
  // The mask leaves mode 0600.
  const { close } = await listenOnUnixSocket({ path, mask: 0o177, key: 'metrics.listen', removeStale, onConnection });
  return close;
}

async function removeDead(path: string): Promise<void> {
  if (!(await lstat(path)).isSocket())
    throw new Error('the path exists and is not a socket; choose another one with metrics.listen');
  if ((await connectError(path)) !== 'ECONNREFUSED')
    throw new Error('another program listens there; choose another path with metrics.listen');
  await unlink(path);
}

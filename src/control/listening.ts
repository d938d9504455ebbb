import { lstat, stat, unlink } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { pathOwner } from '../lib/files/path-owner.ts';
import { errorCode } from '../lib/text.ts';
import { probeSocket } from './client.ts';
import { fileIdentity, listenWithMask, MAX_SOCKET_PATH } from '../lib/unix-socket.ts';

/** A Unix socket that listens. */
export interface Listening {
  /** Whether its path still leads to it: the directory may have been emptied. */
  isThere(): boolean;
  close(): Promise<void>;
}

/** A trusted daemon runs the same configuration already. */
export class AlreadyRunningError extends Error {}

/** Another program listens at the path, or it is not a socket. */
class SocketInUseError extends Error {}

export interface ListenRequest {
  readonly path: string;
  /** The socket never exists with wider permissions. */
  readonly mode: 0o600 | 0o660;
  /** The configuration that runs here. */
  readonly config: string;
  readonly onConnection: (socket: Socket) => void;
}

/**
 * Listens in a directory that is made, with mode 0700, where it is missing. A socket left behind by a dead daemon is replaced; one
 * that answers is not. Rejects where the socket cannot be had, with an AlreadyRunningError where the same configuration runs already.
 */
export async function listenAt({ path, mode, config, onConnection }: ListenRequest): Promise<Listening> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new Error(`the path is longer than ${MAX_SOCKET_PATH} bytes: set a shorter one with control.socket`);
  await refuseForeignDirectory(path, config);
  makeDirectory(dirname(path));
  const server = createServer(onConnection);
  const mask = 0o777 & ~mode;
  try {
    await listenWithMask(server, { path }, mask);
  } catch (error) {
    if (errorCode(error) !== 'EADDRINUSE') throw error;
    await removeStale(path, config);
    await listenWithMask(server, { path }, mask);
  }
  const identity = fileIdentity(path);
  const isThere = () => identity !== null && fileIdentity(path) === identity;
  return {
    isThere,
    close: async () => {
      // Node removes what is at the path, and that may be another daemon's by now.
      if (isThere() || fileIdentity(path) === null) await new Promise((resolve) => server.close(resolve));
      else server.unref();
    },
  };
}

/** Root creates and removes nothing in another user's directory; that the service runs there is reported all the same. */
async function refuseForeignDirectory(path: string, config: string): Promise<void> {
  const { uid } = pathOwner(dirname(path));
  if (process.getuid?.() !== 0 || uid === 0) return;
  const stats = await lstat(path).catch(() => null);
  if (stats?.isSocket() === true) await probeOccupant(path, config, stats.uid);
  throw new Error(
    `${dirname(path)} belongs to the user ${uid}, and root creates no socket there: run this as that user`,
  );
}

/** Rejects where a trusted daemon runs the same configuration; returns what listens there. */
async function probeOccupant(path: string, config: string, uid: number): Promise<'none' | 'other'> {
  const occupant = await probeSocket(path);
  if (occupant === 'none') return 'none';
  if (occupant !== 'other' && occupant.config === config && (await isBelieved(uid, path)))
    throw new AlreadyRunningError(
      `another tunneld is running on ${config}: process ${occupant.pid} answers at ${path}`,
    );
  return 'other';
}

/** Removes the socket of a dead daemon. */
async function removeStale(path: string, config: string): Promise<void> {
  const stats = await lstat(path);
  if (!stats.isSocket()) throw new SocketInUseError('the path exists and is not a socket');
  if ((await probeOccupant(path, config, stats.uid)) === 'none') return await unlink(path);
  throw new SocketInUseError('another program listens there');
}

/** Another user's socket in /tmp must not keep us from running: only root, this user and the owner of the directory are trusted. */
async function isBelieved(uid: number, path: string): Promise<boolean> {
  return [0, process.getuid?.(), (await stat(dirname(path))).uid].includes(uid);
}

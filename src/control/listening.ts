import { lstat, stat, unlink } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { pathOwner } from '../lib/files/path-owner.ts';
import { errorCode } from '../lib/text.ts';
import { probeSocket } from './client.ts';
import { fileIdentity, listenWithMask } from '../lib/unix-socket.ts';

/** A Unix socket that listens. */
export interface Listening {
  /** Whether its path still leads to it: somebody may have emptied the directory. */
  isThere(): boolean;
  close(): Promise<void>;
}

/** A daemon that can be believed runs the same configuration: what we were to do is done. */
export class AlreadyRunningError extends Error {}

/** The path is taken by another program that lives, or by something that is no socket. */
class SocketInUseError extends Error {}

export interface ListenRequest {
  readonly path: string;
  /** Who may connect; it never exists with wider permissions. */
  readonly mode: 0o600 | 0o660;
  /** The configuration that runs here. */
  readonly config: string;
  readonly onConnection: (socket: Socket) => void;
}

/**
 * Listens in a directory that is made, with mode 0700, where it is missing. A socket left behind by a dead daemon is replaced; one
 * that answers is not. Rejects where the socket cannot be had, with an AlreadyRunningError where that is as it should be.
 */
export async function listenAt({ path, mode, config, onConnection }: ListenRequest): Promise<Listening> {
  if (Buffer.byteLength(path) > MAX_PATH)
    throw new Error(`its path is longer than ${MAX_PATH} bytes: name a shorter one with control.socket`);
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
      // Node removes what lies at the path, and that may be another daemon's by now.
      if (isThere() || fileIdentity(path) === null) await new Promise((resolve) => server.close(resolve));
      else server.unref();
    },
  };
}

/** What fits into an address on Linux, with its end mark (unix(7)); Node would cut what is longer. */
const MAX_PATH = 107;

/** Root makes and removes nothing where another user could lead it elsewhere; that the service runs there is told all the same. */
async function refuseForeignDirectory(path: string, config: string): Promise<void> {
  const { uid } = pathOwner(dirname(path));
  if (process.getuid?.() !== 0 || uid === 0) return;
  const stats = await lstat(path).catch(() => null);
  if (stats?.isSocket() === true) await probeOccupant(path, config, stats.uid);
  throw new Error(`${dirname(path)} belongs to the user ${uid}, and root makes no socket there: run this as that user`);
}

/** Rejects where a daemon that can be believed runs the same configuration; answers what listens there. */
async function probeOccupant(path: string, config: string, uid: number): Promise<'none' | 'other'> {
  const occupant = await probeSocket(path);
  if (occupant === 'none') return 'none';
  if (occupant !== 'other' && occupant.config === config && (await isBelieved(uid, path)))
    throw new AlreadyRunningError(
      `another tunneld is running on ${config}: process ${occupant.pid} answers at ${path}`,
    );
  return 'other';
}

/** Removes a socket of a dead daemon. */
async function removeStale(path: string, config: string): Promise<void> {
  const stats = await lstat(path);
  if (!stats.isSocket()) throw new SocketInUseError('it exists and is not a socket');
  if ((await probeOccupant(path, config, stats.uid)) === 'none') return await unlink(path);
  throw new SocketInUseError('another program answers there');
}

/** Not just anybody who can put a socket into /tmp keeps us from running: only root, ourselves, and whose directory it is. */
async function isBelieved(uid: number, path: string): Promise<boolean> {
  return [0, process.getuid?.(), (await stat(dirname(path))).uid].includes(uid);
}

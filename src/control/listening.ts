import { lstat, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pathOwner } from '../lib/files/path-owner.ts';
import { probeSocket } from './client.ts';
import { listenOnUnixSocket, type UnixListener, type UnixListenRequest } from '../lib/files/unix-listener.ts';

/** A trusted daemon runs the same configuration already. */
export class AlreadyRunningError extends Error {}

export interface ListenRequest extends Pick<UnixListenRequest, 'path' | 'onConnection'> {
  /** The socket never exists with wider permissions. */
  readonly mode: 0o600 | 0o660;
  /** The configuration that runs here. */
  readonly config: string;
}

/**
 * Listens in a directory that is made, with mode 0700, where it is missing. A socket left behind by a dead daemon is replaced; one
 * that answers is not. Rejects where the socket cannot be had, with an AlreadyRunningError where the same configuration runs already.
 */
export async function listenAt({ path, mode, config, onConnection }: ListenRequest): Promise<UnixListener> {
  await refuseForeignDirectory(path, config);
  const removeStale = () => removeDead(path, config);
  return await listenOnUnixSocket({ path, mask: 0o777 & ~mode, key: 'control.socket', removeStale, onConnection });
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
async function removeDead(path: string, config: string): Promise<void> {
  const stats = await lstat(path);
  if (!stats.isSocket()) throw new Error('the path exists and is not a socket');
  if ((await probeOccupant(path, config, stats.uid)) === 'none') return await unlink(path);
  throw new Error('another program listens there');
}

/** Another user's socket in /tmp must not keep us from running: only root, this user and the owner of the directory are trusted. */
async function isBelieved(uid: number, path: string): Promise<boolean> {
  return [0, process.getuid?.(), (await stat(dirname(path))).uid].includes(uid);
}

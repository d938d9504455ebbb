import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { errorCode } from '../text.ts';
import { fileIdentity, listenWithMask, MAX_SOCKET_PATH } from '../unix-socket.ts';
import { makeDirectory } from './make-directory.ts';

/** A Unix socket that listens. */
export interface UnixListener {
  /** Whether its path still leads to it: the directory may have been emptied. */
  isThere(): boolean;
  close(): Promise<void>;
}

export interface UnixListenRequest {
  readonly path: string;
  /** See listenWithMask(). */
  readonly mask: number;
  /** The key of the configuration that sets the path. */
  readonly key: string;
  /** Removes what is at the path where nothing listens there any more; rejects otherwise. */
  removeStale(): Promise<void>;
  readonly onConnection: (socket: Socket) => void;
}

/** Listens at a path, in a directory that is made, with mode 0700, where it is missing. Rejects where the socket cannot be had. */
export async function listenOnUnixSocket(request: UnixListenRequest): Promise<UnixListener> {
  const { path, mask, key, removeStale, onConnection } = request;
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new Error(`the path is longer than ${MAX_SOCKET_PATH} bytes: choose a shorter one with ${key}`);
  makeDirectory(dirname(path));
  const server = createServer(onConnection);
  try {
    await listenWithMask(server, { path }, mask);
  } catch (error) {
    if (errorCode(error) !== 'EADDRINUSE') throw error;
    await removeStale();
    await listenWithMask(server, { path }, mask);
  }
  const identity = fileIdentity(path);
  const isThere = () => identity !== null && fileIdentity(path) === identity;
  return {
    isThere,
    close: async () => {
      // Node removes what is at the path, and that may be another program's by now.
      if (isThere() || fileIdentity(path) === null) await new Promise((resolve) => server.close(resolve));
      else server.unref();
    },
  };
}

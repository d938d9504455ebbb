import { lstatSync, renameSync } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { inDirectory, inDirectorySync } from '../../lib/files/open-directory.ts';
import { errorCode } from '../../lib/text.ts';
import { guardListeners } from '../../net/guard-listeners.ts';
import { bindAddresses, type Endpoint } from '../../model/endpoint.ts';

/** A listener on this device. */
export interface LocalListener {
  close(): void;
}

/**
 * Listens on this device: for `localhost` on 127.0.0.1 and on ::1 where that exists, for `''` on all addresses. It is all of them or
 * none: otherwise some visitors would reach another program. The mode of a Unix socket lacks the bits of `mask`; with `replace` it
 * replaces the file of a dead program (ssh_config(5), StreamLocalBindMask and StreamLocalBindUnlink). Rejects with the system's error.
 */
export async function listenLocally(
  endpoint: Endpoint,
  { replace, mask }: SocketOptions,
  onVisitor: (socket: Socket) => void,
): Promise<LocalListener> {
  const servers: Server[] = [];
  let own: string | null = null;
  try {
    for (const { options, optional } of places(endpoint)) {
      if (endpoint.type === 'unix' && replace) await removeDead(endpoint.path);
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
        onVisitor(guardListeners(socket)),
      );
      try {
        await listen(server, options, mask);
        servers.push(server);
      } catch (error) {
        if (!optional || !NO_SUCH_ADDRESS.includes(errorCode(error) ?? '')) throw error;
      }
    }
    if (endpoint.type === 'unix') own = identityOf(endpoint.path);
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return {
    close: () => {
      const close = () => {
        for (const server of servers) server.close();
      };
      if (endpoint.type === 'unix' && identityOf(endpoint.path) !== own) keeping(endpoint.path, close);
      else close();
    },
  };
}

export interface SocketOptions {
  readonly replace: boolean;
  readonly mask: number;
}

/** Device and inode of the file at this path, or null. */
function identityOf(path: string): string | null {
  try {
    const { dev, ino } = lstatSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

/** Closing a listener unlinks its path, whatever is there now: another program's file is moved aside meanwhile. */
function keeping(path: string, close: () => void): void {
  try {
    inDirectorySync(dirname(path), (directory) => {
      const [there, aside] = [directory.at(basename(path)), directory.at(`${basename(path)}.${process.pid}`)];
      renameSync(there, aside);
      close();
      renameSync(aside, there);
    });
  } catch {
    // The file is gone, or may not be moved.
    close();
  }
}

/** A system without IPv6. */
const NO_SUCH_ADDRESS = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];

function places(endpoint: Endpoint): { readonly options: ListenOptions; readonly optional: boolean }[] {
  if (endpoint.type === 'unix') return [{ options: { path: endpoint.path }, optional: false }];
  const { host, port } = endpoint;
  return bindAddresses(host).map((address, index) => ({
    options: { host: address, port, ipv6Only: address.includes(':'), exclusive: true },
    optional: index > 0,
  }));
}

function listen(server: Server, options: ListenOptions, mask: number): Promise<void> {
  return new Promise((resolve, reject) => {
    // Not chmod() afterwards: until then the socket would be open, and a link could lead chmod() elsewhere.
    const before = options.path === undefined ? null : process.umask(mask);
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve();
    });
    if (before !== null) process.umask(before);
  });
}

/** Removes a socket at which no program answers. */
async function removeDead(path: string): Promise<void> {
  await inDirectory(dirname(path), async (directory) => {
    const there = directory.at(basename(path));
    const isSocket = await lstat(there).then(
      (stats) => stats.isSocket(),
      () => false,
    );
    if (isSocket && !(await answers(there))) await unlink(there);
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => resolve(errorCode(error) !== 'ECONNREFUSED'));
  });
}

import { renameSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { lstat, unlink } from 'node:fs/promises';
import { createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { inDirectory, inDirectorySync } from '../../lib/files/open-directory.ts';
import { errorCode } from '../../lib/text.ts';
import { type Family, fitsFamily } from '../../net/address-family.ts';
import { guardListeners } from '../../net/streams/guard-listeners.ts';
import { bindAddresses, type Endpoint } from '../../model/endpoint.ts';
import { connectError, fileIdentity, listenWithMask } from '../../lib/unix-socket.ts';

export interface LocalListener {
  close(): void;
}

/**
 * Listens on this device: for `localhost` on 127.0.0.1 and on ::1 where that exists, for `''` on all addresses; but only on those of the
 * family. It is all of them or none: otherwise some visitors would reach another program. The mode of a Unix socket lacks the bits of
 * `mask`; with `replace` it replaces the file of a dead program (ssh_config(5), StreamLocalBindMask and StreamLocalBindUnlink). Rejects
 * with the system's error.
 */
export async function listenLocally(
  endpoint: Endpoint,
  { family, replace, mask }: SocketOptions,
  onVisitor: (socket: Socket) => void,
): Promise<LocalListener> {
  const servers: Server[] = [];
  let own: string | null = null;
  try {
    for (const { options, optional } of await placesOf(endpoint, family)) {
      if (endpoint.type === 'unix' && replace) await removeDead(endpoint.path);
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
        onVisitor(guardListeners(socket)),
      );
      try {
        await listenWithMask(server, options, mask);
        servers.push(server);
      } catch (error) {
        if (!optional || !NO_SUCH_ADDRESS.includes(errorCode(error) ?? '')) throw error;
      }
    }
    if (endpoint.type === 'unix') own = fileIdentity(endpoint.path);
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return {
    close: () => {
      const close = () => {
        for (const server of servers) server.close();
      };
      if (endpoint.type === 'unix' && fileIdentity(endpoint.path) !== own) keeping(endpoint.path, close);
      else close();
    },
  };
}

export interface SocketOptions {
  readonly family: Family;
  readonly replace: boolean;
  readonly mask: number;
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

async function placesOf(
  endpoint: Endpoint,
  family: Family,
): Promise<readonly { readonly options: ListenOptions; readonly optional: boolean }[]> {
  if (endpoint.type === 'unix') return [{ options: { path: endpoint.path }, optional: false }];
  const { host, port } = endpoint;
  const allowed = bindAddresses(host).filter((address) => fitsFamily(address, family));
  if (allowed.length === 0) throw new Error(`it is no IPv${family} address (addressFamily)`);
  // Node.js takes the first address of a name, of whichever family.
  const isName = family !== 0 && isIP(allowed[0]!) === 0;
  const addresses = isName ? [(await lookup(host, family)).address] : allowed;
  return addresses.map((address, index) => ({
    options: { host: address, port, ipv6Only: address.includes(':'), exclusive: true },
    optional: index > 0,
  }));
}

/** Removes a socket at which no program answers. */
async function removeDead(path: string): Promise<void> {
  await inDirectory(dirname(path), async (directory) => {
    const there = directory.at(basename(path));
    const stats = await lstat(there).catch(() => null);
    if (stats?.isSocket() === true && (await connectError(there)) === 'ECONNREFUSED') await unlink(there);
  });
}

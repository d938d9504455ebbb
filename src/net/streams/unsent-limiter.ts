import type { Socket } from 'node:net';
import { loadAddon } from '../../lib/addon.ts';
import { descriptorOf } from './send-past.ts';

/**
 * Limits what the kernel keeps of a socket's bytes beyond those that are on their way (TCP_NOTSENT_LOWAT of tcp(7)): megabytes otherwise,
 * which on a slow line take seconds, and nothing gets past them. The limit follows what it is called with where that has at least
 * doubled or halved. Does nothing where there is no addon.
 */
export function unsentLimiter(socket: Socket): (bytes: number) => void {
  const { addon } = loadAddon();
  let limit = Number.POSITIVE_INFINITY;
  return (bytes) => {
    if (addon === null || (bytes < 2 * limit && limit < 2 * bytes)) return;
    const fd = descriptorOf(socket);
    // The descriptor of a socket that is destroyed may be another's by now.
    if (fd !== null && !socket.destroyed && addon.limitUnsent(fd, bytes)) limit = bytes;
  };
}

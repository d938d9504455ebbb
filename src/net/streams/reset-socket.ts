import type { DeviceSocket } from './device-socket.ts';

/**
 * Ends a socket with a reset, so that its port is free at once and the peer's kernel knows; a Unix socket, which has no
 * reset, is closed. Never throws. While a shutdown(2) is under way, libuv refuses the reset (EINVAL from
 * uv_tcp_close_reset) and Node then leaks the descriptor: so the reset waits for the shutdown, which needs no answer
 * from the peer.
 */
export function resetSocket(socket: ResettableSocket): void {
  if (socket.destroyed) return;
  const shuttingDown = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (shuttingDown) {
    socket.once('finish', () => resetSocket(socket));
    return;
  }
  try {
    socket.resetAndDestroy();
  } catch {
    // Node throws ERR_INVALID_HANDLE_TYPE where the handle is not a TCP socket.
    socket.destroy();
  }
}

type ResettableSocket = Pick<
  DeviceSocket,
  'destroyed' | 'writableEnded' | 'writableFinished' | 'writableLength' | 'resetAndDestroy' | 'destroy'
> & { once(event: 'finish', listener: () => void): unknown };

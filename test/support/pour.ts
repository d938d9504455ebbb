import type { Socket } from 'node:net';

/** Sends the same for as long as it is taken. */
export function pour(socket: Socket, piece: Buffer, onSent: () => void = () => {}): void {
  const more = () => {
    while (!socket.destroyed && socket.writable) {
      onSent();
      if (!socket.write(piece)) return;
    }
  };
  socket.on('drain', more);
  more();
}

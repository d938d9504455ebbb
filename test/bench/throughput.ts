import { connect, createServer, type Server, type Socket } from 'node:net';
import { listen } from '../support/listen.ts';

export type Direction = 'to visitor' | 'to target';

const CHUNK = Buffer.alloc(256 * 1024, 7);

/** A target that answers `?` with two writes, `d` with `bytes` bytes, counts what follows `u`, and sends back `e` and what follows it. */
export async function startTarget(bytes: number): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', (first) => {
      const command = String.fromCharCode(first[0] ?? 0);
      if (command === '?') {
        socket.write('!');
        socket.end('!');
      } else if (command === 'd') {
        send(socket, bytes);
      } else if (command === 'e') {
        socket.write(first);
        socket.pipe(socket);
      } else {
        socket.resume();
        socket.once('end', () => socket.end('.'));
      }
    });
  });
  const port = await listen(server, '127.0.0.1');
  return { port, server };
}

/** MB (10^6 bytes) a second through one connection. */
export function throughput(port: number, direction: Direction, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const socket = connect(port, '127.0.0.1', () => {
      if (direction === 'to visitor') {
        socket.write('d');
        socket.resume();
      } else {
        socket.write('u');
        socket.resume();
        send(socket, bytes);
      }
    });
    socket.once('error', reject);
    socket.once('end', () => {
      socket.end();
      resolve(bytes / 1e6 / ((performance.now() - started) / 1000));
    });
  });
}

function send(socket: Socket, bytes: number): void {
  let left = bytes;
  const pump = () => {
    while (left > 0) {
      const size = Math.min(left, CHUNK.length);
      left -= size;
      if (!socket.write(CHUNK.subarray(0, size))) return;
    }
    socket.off('drain', pump);
    socket.end();
  };
  socket.on('drain', pump);
  pump();
}

import { createServer, type Socket } from 'node:net';
import { listen } from './listen.ts';

/** A small TCP server on loopback: what a forward leads to. */
export interface TestTarget {
  readonly port: number;
  /** Connections accepted so far, and those still open. */
  accepted(): number;
  open(): number;
  /** Bytes read so far, over all connections. */
  received(): number;
  close(): Promise<void>;
}

/** Sends back what it gets, and ends when the visitor has ended. */
export const startEcho = (host?: string): Promise<TestTarget> => startTarget((socket) => socket.pipe(socket), host);

/** Reads and forgets. */
export const startSink = (): Promise<TestTarget> =>
  startTarget((socket) => socket.resume().once('end', () => socket.end()));

/** Sends `bytes` bytes and ends; the byte at position n is n mod 251, so that a gap or a swap shows. */
export const startSource = (bytes: number): Promise<TestTarget> =>
  startTarget((socket) => {
    socket.resume();
    sendPattern(socket, 0, bytes);
  });

/** Accepts and never reads: what is sent to it backs up to the sender. */
export const startNeverReads = (): Promise<TestTarget> => startTarget(() => {}, undefined, false);

/** Answers every connection with a TCP reset. */
export const startResets = (): Promise<TestTarget> => startTarget((socket) => socket.resetAndDestroy());

/** Keeps what it gets and sends it back only after the visitor's FIN: nothing comes unless half-close works both ways. */
export const startAnswersAfterEnd = (): Promise<TestTarget> =>
  startTarget((socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => socket.end(Buffer.concat(chunks)));
  });

/** The bytes that `startSource` sends, for comparison. */
export function pattern(start: number, length: number): Buffer {
  return Buffer.alloc(
    length,
    Uint8Array.from({ length: 251 }, (_, index) => (start + index) % 251),
  );
}

const PIECE = 64 * 1024;

function sendPattern(socket: Socket, from: number, to: number): void {
  let sent = from;
  while (sent < to && !socket.destroyed) {
    const piece = pattern(sent, Math.min(PIECE, to - sent));
    sent += piece.length;
    if (!socket.write(piece)) {
      socket.once('drain', () => sendPattern(socket, sent, to));
      return;
    }
  }
  socket.end();
}

async function startTarget(
  serve: (socket: Socket) => unknown,
  host = '127.0.0.1',
  countBytes = true,
): Promise<TestTarget> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  let received = 0;
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: !countBytes }, (socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('error', () => {}); // the visitor may reset at any time
    socket.once('close', () => sockets.delete(socket));
    if (countBytes) socket.on('data', (chunk: Buffer) => (received += chunk.length));
    serve(socket);
  });
  const port = await listen(server, host);
  return {
    port,
    accepted: () => accepted,
    open: () => sockets.size,
    received: () => received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

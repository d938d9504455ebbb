import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

/** A SOCKS client as simple as can be, on bytes, so that it shares nothing with what it tests; to a port of loopback or a Unix socket. */
export async function socks(
  proxy: number | string,
  version: 4 | 5,
  host: string,
  port: number,
): Promise<{ readonly code: number; readonly socket: Socket }> {
  const at = typeof proxy === 'string' ? { path: proxy } : { port: proxy, host: '127.0.0.1' };
  const socket = connect({ ...at, allowHalfOpen: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  const number = Buffer.from([port >> 8, port & 0xff]);
  const name = Buffer.from(host, 'latin1');
  if (version === 4) {
    socket.write(Buffer.concat([Buffer.of(4, 1), number, Buffer.of(0, 0, 0, 1, 0), name, Buffer.of(0)]));
    const answer = await take(socket, 8);
    return { code: answer[1] ?? -1, socket };
  }
  socket.write(Buffer.of(5, 1, 0));
  await take(socket, 2);
  socket.write(Buffer.concat([Buffer.of(5, 1, 0, 3, name.length), name, number]));
  const answer = await take(socket, 10);
  return { code: answer[1] ?? -1, socket };
}

async function take(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const found = socket.read(bytes) as Buffer | null;
    if (found !== null) return found;
    if (socket.readableEnded || socket.destroyed)
      throw new Error(`the proxy closed the connection before ${bytes} bytes`);
    await Promise.race([once(socket, 'readable'), once(socket, 'close'), once(socket, 'end')]);
  }
}

import type { Server } from 'node:net';
import { canListen, ownPort } from './until.ts';

/** Starts listening, at a port that no other test gets unless one is given, and returns the port. */
export async function listen(server: Server, host = '127.0.0.1', port?: number): Promise<number> {
  const at = port ?? (await freeAt(host));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: at, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return at;
}

/** It is tried before: who waits for something of the server would be told by an error that its port is a program's that is no test. */
async function freeAt(host: string): Promise<number> {
  for (;;) {
    const port = await ownPort();
    if (await canListen(port, host)) return port;
  }
}

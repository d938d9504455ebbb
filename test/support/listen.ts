import type { Server } from 'node:net';
import { ownPort } from './until.ts';

/** Starts listening, at a port that no other test gets unless one is given, and returns the port. */
export async function listen(server: Server, host = '127.0.0.1', port?: number): Promise<number> {
  for (;;) {
    const at = port ?? (await ownPort());
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port: at, exclusive: true }, () => {
          server.off('error', reject);
          resolve();
        });
      });
      return at;
    } catch (error) {
      if (port !== undefined || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

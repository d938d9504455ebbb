import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { startFakeServer, type FakeServer } from './fake-server.ts';

/**
 * What becomes of a piece of what the server sends; `offset` counts its bytes from the start of the connection. Null swallows
 * it, and all that follows.
 */
export type Damage = (piece: Buffer, offset: number, toClient: Socket) => Buffer | null;

/** A way to a server that spoils what comes from it. */
export function startFaultyRelay(t: TestContext, target: number, damage: Damage): Promise<FakeServer> {
  return startFakeServer(t, (client) => {
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    t.after(() => upstream.destroy());
    upstream.on('error', () => {}); // told to the client when it closes
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
    client.on('data', (piece: Buffer) => upstream.write(piece));
    let offset = 0;
    let swallowing = false;
    upstream.on('data', (piece: Buffer) => {
      const spoilt = swallowing ? null : damage(piece, offset, client);
      offset += piece.length;
      swallowing ||= spoilt === null;
      if (spoilt !== null) client.write(spoilt);
    });
  });
}

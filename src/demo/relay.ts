import { connect, createServer, type Server, type Socket } from 'node:net';
import ssh2, { type Connection, type ServerChannel } from '#ssh2';
import { newKeyPair } from './key-pair.ts';
import { listenOnLoopback } from './loopback.ts';

/** A small SSH server on loopback, for the demo: it listens for its clients (`ssh -R`), and connects them to where it does, by which they verify it. */
export interface Relay {
  readonly port: number;
  /** Its host key as in known_hosts: type and base64. */
  readonly hostKey: string;
  /** Resets every connection, as a server does after a loss of power. */
  cut(): void;
  close(): void;
}

/** `authorizedKey` is the key blob of the only key that may log in. */
export async function startRelay(authorizedKey: Buffer): Promise<Relay> {
  const hostKey = newKeyPair();
  const sockets = new Set<{ resetAndDestroy(): void }>();
  const server = new ssh2.Server({ hostKeys: [hostKey.private] }, (client) => serveClient(client, authorizedKey));
  // The sockets are kept, so that cut() can reset them.
  const transport = createServer((socket) => {
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    server.injectSocket(socket);
  });
  const port = await listenOnLoopback(transport);
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port,
    hostKey: hostKey.public.split(' ').slice(0, 2).join(' '),
    cut,
    close: () => {
      transport.close();
      cut();
    },
  };
}

function serveClient(client: Connection, authorizedKey: Buffer): void {
  /** By the port. */
  const listeners = new Map<number, Server>();
  client.on('error', () => {});
  client.on('close', () => {
    for (const listener of listeners.values()) listener.close();
  });
  client.on('authentication', (context) => {
    const known = context.method === 'publickey' && context.key.data.equals(authorizedKey);
    if (!known) context.reject(['publickey']);
    else if (context.signature === undefined) context.accept();
    else verify(context, authorizedKey);
  });
  client.on('tcpip', (accept, reject, { destPort }) => {
    if (!listeners.has(destPort)) {
      reject();
      return;
    }
    const socket = connect(destPort, '127.0.0.1', () => join(socket, accept()));
    socket.once('error', reject);
  });
  client.on('request', (accept, reject, name, info) => {
    if (name === 'tcpip-forward') {
      const listener = forwardTo(client, info.bindAddr, info.bindPort);
      listener.once('error', () => reject?.());
      listener.listen(info.bindPort, '127.0.0.1', () => {
        listeners.set(info.bindPort, listener);
        accept?.();
      });
    } else if (name === 'cancel-tcpip-forward' && listeners.has(info.bindPort)) {
      listeners.get(info.bindPort)?.close();
      listeners.delete(info.bindPort);
      accept?.();
    } else {
      reject?.();
    }
  });
}

function verify(context: ssh2.PublicKeyAuthContext, authorizedKey: Buffer): void {
  const key = ssh2.utils.parseKey(authorizedKey);
  if (key instanceof Error || context.signature === undefined) {
    context.reject();
    return;
  }
  // verify() returns an Error for a malformed signature, contrary to its type.
  const verdict: unknown = key.verify(context.blob ?? Buffer.alloc(0), context.signature, context.hashAlgo);
  if (verdict === true) context.accept();
  else context.reject();
}

function forwardTo(client: Connection, bindAddr: string, bindPort: number): Server {
  return createServer({ allowHalfOpen: true }, (visitor) => {
    visitor.on('error', () => {});
    client.forwardOut(bindAddr, bindPort, visitor.remoteAddress ?? '', visitor.remotePort ?? 0, (error, channel) => {
      if (error) {
        visitor.destroy();
        return;
      }
      join(visitor, channel);
    });
  });
}

function join(socket: Socket, channel: ServerChannel | ssh2.Channel): void {
  socket.pipe(channel).pipe(socket);
  socket.on('error', () => channel.close());
  socket.on('close', () => channel.close());
  channel.on('error', () => {});
  channel.on('close', () => socket.destroy());
}

import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { listenAt } from '../control/listening.ts';
import type { Clock } from '../lib/async/clock.ts';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { bindAddresses, type Endpoint } from '../model/endpoint.ts';

/** Answers a request whose head has come; a body is thrown away. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface HttpServer {
  close(): Promise<void>;
}

/**
 * Serves HTTP to clients that may be hostile: few of them at a time, each with one request of a few KiB that must come within seconds. Its
 * timers are those of its clients: without one it never wakes the process. Rejects where it cannot listen.
 */
export async function openHttpServer(
  listen: Endpoint,
  handler: HttpHandler,
  { clock, config }: { readonly clock: Clock; readonly config: string },
): Promise<HttpServer> {
  // Never listens itself: what Node checks again and again for a server that does is checked below, once a client.
  const http = createHttpServer({ maxHeaderSize: MAX_HEAD_BYTES, noDelay: true });
  http.maxRequestsPerSocket = 1;
  http.on('clientError', (_, socket) => socket.destroy());
  http.on('checkContinue', (_, response: ServerResponse) => refuseBody(response));
  http.on('upgrade', (_, socket) => socket.destroy());
  http.on('connect', (_, socket) => socket.destroy());
  const clients = new Set<Socket>();
  const onConnection = (socket: Socket) => {
    socket.on('error', () => socket.destroy());
    if (clients.size >= MAX_CLIENTS) {
      socket.destroy();
      return;
    }
    clients.add(socket);
    const cancel = clock.timer(PATIENCE_MS, () => socket.destroy());
    socket.once('close', () => {
      cancel();
      clients.delete(socket);
    });
    http.emit('connection', socket);
    patience.set(socket, cancel);
  };
  http.on('request', (request, response) => {
    patience.get(request.socket)?.();
    response.shouldKeepAlive = false;
    response.on('error', () => {});
    // Whatever it was to be for: it is not read.
    request.resume().on('error', () => {});
    handler(request, response);
  });

  const closers = await listenOn(listen, onConnection, config);
  return {
    close: async () => {
      const closed = closers.map((close) => close());
      for (const socket of clients) socket.destroy();
      await Promise.all(closed);
    },
  };
}

/** Ends the wait for the head of a request. */
const patience = new WeakMap<Socket, () => void>();

const MAX_HEAD_BYTES = 8 * 1024;
const PATIENCE_MS = 10_000;
/** Those who look at the page hold one each. */
const MAX_CLIENTS = 64;

function refuseBody(response: ServerResponse): void {
  response.writeHead(413, { connection: 'close' }).end();
}

async function listenOn(
  listen: Endpoint,
  onConnection: (socket: Socket) => void,
  config: string,
): Promise<readonly (() => Promise<void>)[]> {
  if (listen.type === 'unix') {
    checkRootMayWrite(listen.path);
    const { close } = await listenAt({ path: listen.path, mode: 0o600, config, onConnection });
    return [close];
  }
  const closers: (() => Promise<void>)[] = [];
  try {
    for (const [index, address] of bindAddresses(listen.host).entries()) {
      const server = createServer(onConnection);
      // Of the addresses of a name only the first is indispensable: a device may have no IPv6.
      const listening = await bind(server, address, listen.port).catch((error: unknown) => {
        if (index === 0) throw error;
        return false;
      });
      if (listening) closers.push(() => new Promise((resolve) => server.close(() => resolve())));
    }
  } catch (error) {
    await Promise.all(closers.map((close) => close()));
    throw error;
  }
  return closers;
}

function bind(server: Server, host: string, port: number): Promise<true> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: true }, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve(true);
    });
  });
}

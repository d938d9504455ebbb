import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { createClients } from '../control/clients.ts';
import type { Clock } from '../lib/async/clock.ts';
import { bindAddresses, type Endpoint } from '../model/endpoint.ts';
import { listenWithMask } from '../lib/unix-socket.ts';
import { listenAtPath } from './unix-listener.ts';

/**
 * Answers a request whose head has come; a body is thrown away. An answer that is not read within ANSWER_MS ends with its connection,
 * unless `endless` is called: then the handler has to bound what waits for the client.
 */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse, endless: () => void) => void;

/**
 * Serves HTTP to clients that may be hostile: few of them at a time, each with one request of a few KiB that must come within seconds, and
 * one answer that must be taken in a bounded time. Its timers are those of its clients: without one it never wakes the process. Rejects
 * where it cannot listen.
 */
export async function openHttpServer(
  listen: Endpoint,
  handler: HttpHandler,
  { clock }: { readonly clock: Clock },
): Promise<{ close(): Promise<void> }> {
  // Never listens itself: what Node checks again and again for a server that does is checked below, once a client.
  const http = createHttpServer({ maxHeaderSize: MAX_HEAD_BYTES, noDelay: true });
  http.maxRequestsPerSocket = 1;
  // What comes behind the one request is not collected while its answer lasts.
  http.on('dropRequest', (_, socket) => socket.destroy());
  http.on('clientError', (_, socket) => socket.destroy());
  http.on('checkContinue', (_, response: ServerResponse) => response.writeHead(413, { connection: 'close' }).end());
  http.on('upgrade', (_, socket) => socket.destroy());
  http.on('connect', (_, socket) => socket.destroy());
  const clients = createClients(MAX_CLIENTS);
  const cancels = new Map<Socket, () => void>();
  /** What is to come of a client has to come in this time. */
  const expectWithin = (ms: number, socket: Socket) => {
    cancels.get(socket)?.();
    cancels.set(
      socket,
      clock.timer(ms, () => socket.destroy()),
    );
  };
  const onConnection = (socket: Socket) => {
    socket.on('error', () => socket.destroy());
    clients.add(socket);
    if (socket.destroyed) return;
    expectWithin(HEAD_MS, socket);
    socket.once('close', () => {
      cancels.get(socket)?.();
      cancels.delete(socket);
    });
    http.emit('connection', socket);
  };
  http.on('request', (request, response) => {
    const { socket } = request;
    clients.setState(socket, 'answered');
    expectWithin(ANSWER_MS, socket);
    response.shouldKeepAlive = false;
    response.on('error', () => {});
    // Whatever it was to be for: it is not read.
    request.resume().on('error', () => {});
    handler(request, response, () => cancels.get(socket)?.());
  });

  const closers = await listenOn(listen, onConnection);
  return {
    close: async () => {
      const closed = closers.map((close) => close());
      clients.closeAll();
      await Promise.all(closed);
    },
  };
}

const MAX_HEAD_BYTES = 8 * 1024;
const HEAD_MS = 10_000;
const ANSWER_MS = 30_000;
/** Those who look at the page hold one each. */
const MAX_CLIENTS = 64;

async function listenOn(
  listen: Endpoint,
  onConnection: (socket: Socket) => void,
): Promise<readonly (() => Promise<void>)[]> {
  if (listen.type === 'unix') return [await listenAtPath(listen.path, onConnection)];
  const closers: (() => Promise<void>)[] = [];
  try {
    for (const [index, address] of bindAddresses(listen.host).entries()) {
      const server = createServer(onConnection);
      try {
        await listenWithMask(server, { host: address, port: listen.port, ipv6Only: true });
        closers.push(() => new Promise((resolve) => server.close(() => resolve())));
      } catch (error) {
        // Of the addresses of a name only the first is indispensable: a device may have no IPv6.
        if (index === 0) throw error;
      }
    }
  } catch (error) {
    await Promise.all(closers.map((close) => close()));
    throw error;
  }
  return closers;
}

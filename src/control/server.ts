import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import { errorCode, errorText, printable } from '../lib/text.ts';
import { MAX_REQUEST, parseRequest, type Answer, type ErrorCode, type Request, type RequestOf } from './protocol.ts';

/** A request that cannot be carried out; the message is for the person who made it. */
export class RequestError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface ControlHandlers {
  /** The result of a request, or a RequestError. */
  handle(request: Request): Promise<unknown>;
  /** For `logs`, after the answer: writes lines until `stop` is called; false from `write` means that the reader is gone. */
  streamLogs(request: RequestOf<'logs'>, write: (line: string) => boolean): { stop(): void } | null;
}

export interface ControlServer {
  close(): Promise<void>;
}

/** The path is taken by a daemon that lives, or by something that is no socket of ours. */
class SocketInUseError extends Error {}

/**
 * Listens on a Unix socket that only its owner may use (directory 0700 where it is made here, socket 0600), and its group where
 * the directory is the one that systemd made for the service: that group is the service's own. A socket left behind by a dead
 * daemon is replaced; one that answers is not.
 */
export async function startControlServer(path: string, handlers: ControlHandlers): Promise<ControlServer> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
    socket.on('error', () => socket.destroy());
    if (clients.size > MAX_CLIENTS) socket.destroy();
    else serve(socket, handlers);
  });
  await listenAlone(server, path);
  await chmod(path, isOfService(path, process.env['RUNTIME_DIRECTORY']) ? 0o660 : 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        // Node removes the socket file itself.
        server.close(() => resolve());
        for (const client of clients) client.destroy();
      }),
  };
}

/** systemd separates the directories by colons (systemd.exec(5)). */
function isOfService(path: string, runtimeDirectory: string | undefined): boolean {
  const [directory = ''] = (runtimeDirectory ?? '').split(':');
  return directory !== '' && dirname(resolve(path)) === resolve(directory);
}

const MAX_CLIENTS = 32;
const REQUEST_TIMEOUT_MS = 10_000;

async function listenAlone(server: Server, path: string): Promise<void> {
  try {
    await listen(server, path);
  } catch (error) {
    if (errorCode(error) !== 'EADDRINUSE') throw error;
    if (!(await lstat(path)).isSocket()) throw new SocketInUseError(`${path} exists and is not a socket`);
    if (await answers(path)) throw new SocketInUseError(`another tunneld is running: ${path} answers`);
    await unlink(path);
    await listen(server, path);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // The socket must never exist with wider permissions, not even until chmod.
    const before = process.umask(0o177);
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve();
    });
    process.umask(before);
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => resolve(errorCode(error) !== 'ECONNREFUSED' && errorCode(error) !== 'ENOENT'));
  });
}

function serve(socket: Socket, handlers: ControlHandlers): void {
  let received = '';
  socket.setEncoding('utf8');
  socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
  const onData = (chunk: string) => {
    received += chunk;
    const end = received.indexOf('\n');
    if (end === -1 && received.length <= MAX_REQUEST) return;
    socket.off('data', onData);
    socket.setTimeout(0);
    void answer(socket, end === -1 ? '' : received.slice(0, end), handlers);
  };
  socket.on('data', onData);
}

async function answer(socket: Socket, line: string, handlers: ControlHandlers): Promise<void> {
  const request = parseRequest(line);
  const reply = await outcome(request, handlers);
  socket.write(`${JSON.stringify(reply)}\n`);
  // What the client sends now means nothing, but its end must be seen.
  socket.resume();
  const stream = request?.command === 'logs' && reply.ok ? handlers.streamLogs(request, writer(socket)) : null;
  if (stream === null) socket.end();
  else socket.on('close', () => stream.stop());
}

async function outcome(request: Request | null, handlers: ControlHandlers): Promise<Answer<unknown>> {
  if (request === null) return { ok: false, code: 'bad-request', message: 'this is no request that tunneld knows' };
  try {
    return { ok: true, result: await handlers.handle(request) };
  } catch (error) {
    if (error instanceof RequestError) return { ok: false, code: error.code, message: error.message };
    return { ok: false, code: 'internal', message: printable(errorText(error)) };
  }
}

/** A reader that does not keep up is cut off: its lines must not pile up in the daemon. */
function writer(socket: Socket): (line: string) => boolean {
  return (line) => {
    if (socket.destroyed) return false;
    if (socket.writableLength > MAX_UNREAD) {
      socket.destroy();
      return false;
    }
    socket.write(line);
    return true;
  };
}

const MAX_UNREAD = 1024 * 1024;

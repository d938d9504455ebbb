import type { Socket } from 'node:net';
import { errorText, printable } from '../lib/text.ts';
import type { Clients } from './clients.ts';
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
  /** For `logs`, after the answer: writes lines until `stop` is called; `write` returns false where the reader is gone. */
  streamLogs(request: RequestOf<'logs'>, write: (line: string) => boolean): { stop(): void } | null;
}

/** Reads one request from a client, answers it, and closes; a client that is too slow is disconnected. */
export function serve(socket: Socket, clients: Clients, handlers: ControlHandlers): void {
  socket.on('error', () => socket.destroy());
  clients.add(socket);
  let received = '';
  socket.setEncoding('utf8');
  socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
  const onData = (chunk: string) => {
    received += chunk;
    const end = received.indexOf('\n');
    if (end === -1 && received.length <= MAX_REQUEST) return;
    socket.off('data', onData);
    socket.setTimeout(0);
    void answer(socket, end === -1 ? '' : received.slice(0, end), clients, handlers);
  };
  socket.on('data', onData);
}

const REQUEST_TIMEOUT_MS = 10_000;

async function answer(socket: Socket, line: string, clients: Clients, handlers: ControlHandlers): Promise<void> {
  const request = parseRequest(line);
  clients.setState(socket, 'answered');
  const reply = await replyTo(request, handlers);
  socket.write(`${JSON.stringify(reply)}\n`);
  // Further data is ignored, but 'end' must be seen.
  socket.resume();
  const stream = request?.command === 'logs' && reply.ok ? handlers.streamLogs(request, writer(socket)) : null;
  clients.setState(socket, stream === null ? 'idle' : 'following');
  if (stream !== null) {
    socket.on('close', () => stream.stop());
    return;
  }
  socket.end();
  socket.setTimeout(REQUEST_TIMEOUT_MS);
}

async function replyTo(request: Request | null, handlers: ControlHandlers): Promise<Answer<unknown>> {
  if (request === null)
    return {
      ok: false,
      code: 'bad-request',
      message: 'unknown request: the command and the daemon may be of different versions',
    };
  try {
    return { ok: true, result: await handlers.handle(request) };
  } catch (error) {
    if (error instanceof RequestError) return { ok: false, code: error.code, message: error.message };
    return { ok: false, code: 'internal', message: printable(errorText(error)) };
  }
}

/** A reader that does not keep up is disconnected: its lines must not pile up in the daemon. */
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

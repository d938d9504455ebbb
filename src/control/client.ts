import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { EXIT } from '../lib/exit-code.ts';
import { orElse } from '../lib/or-else.ts';
import { errorCode, escapeControls, printable } from '../lib/text.ts';
import { UserError } from '../lib/user-error.ts';
import type { StatusDocument } from '../status/document.ts';
import { type Answer, ownerSocket, type Request, type RequestOf, type Results } from './protocol.ts';

/** Nothing listens on the control socket. */
export class DaemonNotRunningError extends UserError {
  /** A daemon may listen, and this user may not connect to it. */
  readonly denied: boolean;
  readonly #tried: readonly Tried[];

  constructor(tried: readonly Tried[], explain = startIt) {
    const denied = tried.filter(({ code }) => code === 'EACCES');
    const where = tried.map(({ path, code }) => `${printable(path)}: ${STATES[code] ?? code}`).join('; ');
    super(
      denied.length > 0 ? `${mayNotAsk(denied.map(({ path }) => path))} (${where})` : explain(where),
      EXIT.notRunning,
    );
    this.denied = denied.length > 0;
    this.#tried = tried;
  }

  /** The same, with another message where none listens; `where` lists the sockets and why none answers. */
  explained(explain: (where: string) => string): DaemonNotRunningError {
    return new DaemonNotRunningError(this.#tried, explain);
  }
}

interface Tried {
  readonly path: string;
  readonly code: string;
}

function startIt(where: string): string {
  return `the daemon is not running (${where}): \`sudo tunneld install\` starts it as a service; a daemon that has no socket logs the reason`;
}

const STATES: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  ECONNREFUSED: 'nothing listens',
  ENOENT: 'no such file',
  ENOTSOCK: 'not a socket',
};

/** The group belongs to the system's service. */
function mayNotAsk(paths: readonly string[]): string {
  const group = paths.some((path) => path.startsWith('/run/tunneld/'))
    ? ', or join the group tunneld (sudo usermod -aG tunneld NAME, and log in again)'
    : '';
  return `this user may not connect to the daemon: use sudo${group}`;
}

/** Asks the daemon behind the first of these sockets that answers. `onLine` is called with every line after the answer. */
export async function ask<C extends Request['command']>(
  sockets: readonly string[],
  request: RequestOf<C>,
  onLine: (line: string) => void = () => {},
): Promise<Answer<Results[C]>> {
  const tried: Tried[] = [];
  for (const path of sockets) {
    for (const candidate of [ownerSocket(path), path]) {
      try {
        return await askAt<Results[C]>(candidate, request, onLine);
      } catch (error) {
        const code = errorCode(error) ?? '';
        if (!UNREACHABLE.includes(code)) throw error;
        if (candidate === path) tried.push({ path, code });
      }
    }
  }
  throw new DaemonNotRunningError(tried);
}

/** What listens there: a daemon with its status, `other` for what gives none within `patienceMs`, or `none`. */
export async function probeSocket(path: string, patienceMs = 2000): Promise<StatusDocument | 'other' | 'none'> {
  try {
    const answer = await askAt<StatusDocument | undefined>(path, { command: 'status' }, () => {}, patienceMs);
    return (answer.ok ? answer.result : undefined) ?? 'other';
  } catch (error) {
    return ['ENOENT', 'ECONNREFUSED'].includes(errorCode(error) ?? '') ? 'none' : 'other';
  }
}

const UNREACHABLE: readonly string[] = ['ENOENT', 'ECONNREFUSED', 'EACCES', 'ENOTSOCK', 'ENOTDIR'];

/** How a daemon ends a connection where it has too many clients. */
const CLOSED: readonly string[] = ['EPIPE', 'ECONNRESET'];

function askAt<T>(
  path: string,
  request: Request,
  onLine: (line: string) => void,
  patienceMs = request.command === 'reload' || request.command === 'apply' ? RELOAD_MS : ANSWER_MS,
): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const shown = printable(path);
    let answer: Answer<T> | null = null;
    const patience = setTimeout(() => {
      const seconds = patienceMs / 1000;
      socket.destroy(
        new UserError(`the daemon at ${shown} does not answer within ${seconds} s: it is stopped or hangs`),
      );
    }, patienceMs);
    const unanswered = new UserError(
      `the daemon at ${shown} closed the connection without an answer: it has too many clients; try again`,
    );
    socket.once('error', (error) => reject(CLOSED.includes(errorCode(error) ?? '') ? unanswered : error));
    socket.once('close', () => clearTimeout(patience));
    socket.once('connect', () => {
      socket.write(`${JSON.stringify(request)}\n`);
      boundLines(
        socket,
        new UserError(`${shown} is not a socket of tunneld: what listens there sends a line without an end`),
      );
      const lines = createInterface({ input: socket });
      // It emits the socket's own errors again, and throws without a listener.
      lines.on('error', reject);
      lines.on('line', (line) => {
        clearTimeout(patience);
        if (answer !== null) onLine(line);
        else if ((answer = parse(line) as Answer<T> | null) === null)
          socket.destroy(new UserError(`${shown} is not a socket of tunneld: another program listens there`));
      });
      lines.on('close', () => {
        if (answer === null) reject(unanswered);
        else resolve(answer);
      });
    });
  });
}

/** Ends a connection to another user's program that would fill our memory. */
function boundLines(socket: Socket, reason: Error): void {
  let unfinished = 0;
  socket.on('data', (chunk: Buffer) => {
    const end = chunk.lastIndexOf(0x0a);
    unfinished = end === -1 ? unfinished + chunk.length : chunk.length - end - 1;
    if (unfinished > MAX_LINE) socket.destroy(reason);
  });
}

/** In bytes; a status of a thousand tunnels has one of them. */
const MAX_LINE = 16 * 1024 * 1024;

/** A daemon that was taken over could send anything to root's terminal: all but line feeds is escaped. */
function parse(line: string): unknown {
  const escaped = (_: string, value: unknown) =>
    typeof value === 'string' ? value.split('\n').map(escapeControls).join('\n') : value;
  return orElse(() => JSON.parse(line, escaped) as unknown, null);
}

const ANSWER_MS = 10_000;
/** A reload waits for tunnels to close. */
const RELOAD_MS = 60_000;

import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { errorCode, escapeControls } from '../lib/text.ts';
import type { Answer, Request, RequestOf, Results } from './protocol.ts';

/** Nothing listens on the control socket. */
export class DaemonNotRunningError extends Error {}

/** Asks the daemon behind the first of these sockets that answers. `onLine` gets every line after the answer. */
export async function ask<C extends Request['command']>(
  sockets: readonly string[],
  request: RequestOf<C>,
  onLine: (line: string) => void = () => {},
): Promise<Answer<Results[C]>> {
  const tried: string[] = [];
  for (const path of sockets) {
    try {
      return await askAt<Results[C]>(path, request, onLine);
    } catch (error) {
      const code = errorCode(error) ?? '';
      if (!UNREACHABLE.includes(code)) throw error;
      tried.push(`${path}: ${code === 'EACCES' ? 'permission denied' : code}`);
    }
  }
  throw new DaemonNotRunningError(`the daemon is not running, or not for this user (${tried.join('; ')})`);
}

/** Whether a daemon listens there. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const tell = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => tell(true));
    socket.once('error', () => tell(false));
  });
}

const UNREACHABLE: readonly string[] = ['ENOENT', 'ECONNREFUSED', 'EACCES', 'ENOTSOCK', 'ENOTDIR'];

/** What a daemon does with those who come when it has too many clients. */
const CLOSED: readonly string[] = ['EPIPE', 'ECONNRESET'];

function askAt<T>(path: string, request: Request, onLine: (line: string) => void): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let answer: Answer<T> | null = null;
    const seconds = request.command === 'reload' || request.command === 'apply' ? RELOAD_S : ANSWER_S;
    const patience = setTimeout(() => {
      socket.destroy(new Error(`the daemon at ${path} does not answer within ${seconds} s: it is stopped or hangs`));
    }, seconds * 1000);
    const unanswered = new Error(
      `the daemon at ${path} closed the connection without an answer: too many ask it at once`,
    );
    socket.once('error', (error) => reject(CLOSED.includes(errorCode(error) ?? '') ? unanswered : error));
    socket.once('close', () => clearTimeout(patience));
    socket.once('connect', () => {
      socket.write(`${JSON.stringify(request)}\n`);
      const lines = createInterface({ input: socket });
      // It tells the socket's own errors again, and throws where nobody listens.
      lines.on('error', reject);
      lines.on('line', (line) => {
        clearTimeout(patience);
        if (answer !== null) onLine(line);
        else if ((answer = parse(line) as Answer<T> | null) === null)
          socket.destroy(new Error(`what listens at ${path} is no daemon of tunneld`));
      });
      lines.on('close', () => {
        if (answer === null) reject(unanswered);
        else resolve(answer);
      });
    });
  });
}

/** What a daemon says may come from somebody who has taken it over, and goes to root's terminal. Only the ends of lines stay. */
function parse(line: string): unknown {
  try {
    return JSON.parse(line, (_, value: unknown) =>
      typeof value === 'string' ? value.split('\n').map(escapeControls).join('\n') : value,
    );
  } catch {
    return null;
  }
}

const ANSWER_S = 10;
/** A reload waits for tunnels to say goodbye. */
const RELOAD_S = 60;

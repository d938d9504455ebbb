import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { errorCode } from '../lib/text.ts';
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

const UNREACHABLE: readonly string[] = ['ENOENT', 'ECONNREFUSED', 'EACCES', 'ENOTSOCK', 'ENOTDIR'];

function askAt<T>(path: string, request: Request, onLine: (line: string) => void): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let answer: Answer<T> | null = null;
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.write(`${JSON.stringify(request)}\n`);
      const lines = createInterface({ input: socket });
      lines.on('line', (line) => {
        if (answer === null) answer = JSON.parse(line) as Answer<T>;
        else onLine(line);
      });
      lines.on('close', () => {
        if (answer === null) reject(new Error(`the daemon at ${path} closed the connection without an answer`));
        else resolve(answer);
      });
    });
  });
}

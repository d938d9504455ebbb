import { connect } from 'node:net';
import { text } from 'node:stream/consumers';

/** Says something at a port of loopback, ends, and returns what came back. */
export function visit(port: number, words: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  // One that comes after the end was read concerns nobody.
  socket.on('error', () => {});
  return text(socket.end(words));
}

import type { Client, ClientChannel } from 'ssh2';
import { printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { CommandOutput, Conversation } from '../ssh/connection.ts';

/**
 * Runs a command in a session (RFC 4254 section 6.5) to its end; keeps at most `limit` bytes of output, and stops at
 * more.
 */
export function runCommand(
  client: Client,
  command: string,
  input: string | Conversation,
  limit: number,
  done: (output: CommandOutput) => void,
  refuse: (failure: TunnelFailure) => void,
): void {
  client.exec(command, (error, channel) => {
    if (error !== undefined) {
      const text = `the server refused to run a command: ${printable(error.message)}`;
      refuse(new TunnelFailure('forward-refused', text, { cause: error }));
    } else collect(channel, input, limit, done, refuse);
  });
}

const MAX_STDERR = 2000;

function collect(
  channel: ClientChannel,
  input: string | Conversation,
  limit: number,
  done: (output: CommandOutput) => void,
  refuse: (failure: TunnelFailure) => void,
): void {
  const chunks: Buffer[] = [];
  let size = 0;
  let stderr = '';
  let code: number | null = null;
  const stop = () => channel.removeAllListeners('data').removeAllListeners('close').resume();
  const reply = { write: (text: string) => channel.write(text), end: (text: string) => channel.end(text) };
  channel.on('error', () => {});
  channel.on('data', (chunk: Buffer) => {
    size += chunk.length;
    chunks.push(chunk);
    if (size <= limit) return;
    stop().close();
    refuse(new TunnelFailure('internal', `the command on the server wrote more than ${limit} bytes`));
  });
  channel.stderr.on('data', (chunk: Buffer) => {
    const text = chunk.toString('utf8');
    stderr = (stderr + text).slice(-MAX_STDERR);
    if (typeof input === 'function') input(text, reply);
  });
  channel.on('exit', (exit: number | null) => (code = exit));
  channel.on('close', () => {
    stop();
    done({ code, stdout: Buffer.concat(chunks), stderr });
  });
  if (typeof input === 'string') channel.end(input);
}

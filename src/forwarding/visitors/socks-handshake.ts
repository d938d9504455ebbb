import type { Duplex } from 'node:stream';
import type { Clock } from '../../lib/async/clock.ts';
import { errorCode, errorText, printable } from '../../lib/text.ts';
import { feed, reply, startSocks, type ReplyCode, type Step } from './socks-parser.ts';

/** The destination that a client asks for. */
export interface SocksRequest {
  readonly host: string;
  readonly port: number;
  /**
   * Replies to the client, once. With `granted` the stream is the caller's, which must not have listened for its data before, and reads
   * all that came after the request, and its end. Every other reply ends the stream, and destroys it when the client stays.
   */
  answer(outcome: ReplyCode): void;
}

/** Why a handshake came to nothing; the message is safe to print. */
export class SocksError extends Error {}

/**
 * Reads a SOCKS handshake (see socks-parser.ts) from a fresh stream, which must have allowHalfOpen. Rejects with a SocksError, or the
 * signal's reason; the client then gets a reply, and the stream is closed soon whatever the client does. One listener that ignores
 * errors stays on the stream: between two owners, a reset must not become an uncaught exception.
 */
export function negotiate(stream: Duplex, clock: Clock, signal: AbortSignal): Promise<SocksRequest> {
  return new Promise((resolve, reject) => {
    let state = startSocks();
    const onReadable = () => {
      for (let piece = take(stream); piece !== null; piece = take(stream)) {
        let step: Step = feed(state, piece);
        if (step.type === 'send') {
          stream.write(step.bytes);
          step = feed(step.state, NOTHING);
        }
        if (step.type === 'request') {
          detach();
          stream.unshift(Buffer.concat([HELD, step.rest]));
          const { version, host, port } = step;
          resolve({ host, port, answer: answerOnce(stream, version, clock, signal) });
          return;
        }
        if (step.type === 'error') {
          refuse(step.message, step.reply);
          return;
        }
        state = step.state;
      }
    };
    const onEnd = () => refuse('the SOCKS client left before its request was complete');
    const onTimeout = () => refuse(`the SOCKS client sent no complete request within ${HANDSHAKE_MS / 1000} s`);
    const onError = (error: Error) => fail(new SocksError(`the SOCKS client is gone: ${reason(error)}`));
    const onClose = () => fail(new SocksError('the SOCKS client is gone'));
    const onAbort = () => fail(signal.reason as Error);

    function refuse(message: string, bytes: Buffer = NOTHING): void {
      detach();
      endWith(stream, bytes, clock, signal);
      reject(new SocksError(message));
    }
    function fail(error: Error): void {
      detach();
      // An SSH channel without a reader never closes.
      stream.resume().destroy();
      reject(error);
    }
    function detach(): void {
      cancel();
      signal.removeEventListener('abort', onAbort);
      stream.off('readable', onReadable).off('end', onEnd).off('error', onError).off('close', onClose);
    }

    const cancel = clock.timer(HANDSHAKE_MS, onTimeout);
    stream.on('error', () => {});
    if (signal.aborted) return onAbort();
    // No event follows for an end or a close that has happened already.
    if (stream.destroyed) return onClose();
    if (stream.readableEnded) return onEnd();
    signal.addEventListener('abort', onAbort, { once: true });
    stream.on('readable', onReadable).on('end', onEnd).on('error', onError).on('close', onClose);
  });
}

/** From the first byte to the last of the request; a person does not type it. */
export const HANDSHAKE_MS = 10_000;

const NOTHING = Buffer.alloc(0);

/**
 * Stays in the stream's buffer until the reply: a socket with an empty buffer emits 'end' when the client leaves meanwhile, paused or
 * not, and its next reader would wait for that in vain.
 */
const HELD = Buffer.of(0);

/** A few bytes of the buffer, because the rest is put back. With an empty buffer, read(0) asks for more or emits 'end'. */
function take(stream: Duplex): Buffer | null {
  return stream.read(Math.min(stream.readableLength, PIECE_BYTES)) as Buffer | null;
}

const PIECE_BYTES = 1024;

/** Only the first call has an effect: a second reply would land in the middle of the stream. */
function answerOnce(stream: Duplex, version: 4 | 5, clock: Clock, signal: AbortSignal): SocksRequest['answer'] {
  let answered = false;
  return (outcome) => {
    if (answered) return;
    answered = true;
    const bytes = reply(version, outcome);
    if (outcome !== 'granted') {
      endWith(stream, bytes, clock, signal);
      return;
    }
    stream.read(HELD.length);
    if (stream.writable) stream.write(bytes);
  };
}

/**
 * Sends the last bytes to a client. What it still sends is read and dropped, because a close with unread bytes is a reset, which would
 * overtake them.
 */
function endWith(stream: Duplex, bytes: Buffer, clock: Clock, signal: AbortSignal): void {
  const release = () => {
    cancel();
    signal.removeEventListener('abort', destroy);
    stream.off('close', release);
  };
  const destroy = () => {
    release();
    stream.destroy();
  };
  const cancel = clock.timer(LINGER_MS, destroy);
  stream.once('close', release);
  stream.resume();
  if (stream.writable) stream.end(bytes);
  if (stream.destroyed) release();
  else if (signal.aborted) destroy();
  else signal.addEventListener('abort', destroy, { once: true });
}

/** Time for the reply to arrive and for the client's end to come back. */
const LINGER_MS = 5000;

function reason(error: Error): string {
  return printable(errorCode(error) ?? errorText(error));
}

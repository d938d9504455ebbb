import type { Readable } from 'node:stream';
import { abortable, deferred } from '../../lib/async/abort.ts';

/**
 * Reads the first bytes of a stream without consuming them: `wanted` bytes, fewer where `enough` says so, or all up to
 * its end. They are put back, and the stream is left for its next owner as it was, also where this rejects with the
 * signal's reason.
 */
export async function peek(
  stream: Readable,
  wanted: number,
  enough: (bytes: Buffer) => boolean,
  signal: AbortSignal,
): Promise<Buffer> {
  let seen: Buffer = Buffer.alloc(0);
  const done = deferred<void>();
  const onReadable = () => {
    seen = readUpTo(stream, seen, wanted);
    if (seen.length >= wanted || enough(seen)) done.resolve();
    // Asks for more.
    else stream.read(0);
  };
  const onEnd = () => done.resolve();
  stream.on('readable', onReadable).once('end', onEnd).once('close', onEnd).once('error', onEnd);
  try {
    if (stream.readableEnded || stream.destroyed) return seen;
    onReadable();
    await abortable(done.promise, signal);
    return seen;
  } finally {
    stream.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', onEnd);
    if (seen.length > 0 && !stream.readableEnded && !stream.destroyed) stream.unshift(seen);
  }
}

/**
 * What was read before, with what has arrived since, up to `wanted` bytes. Never by a plain read(): together with the last bytes
 * it would take the stream's end from the next reader.
 */
export function readUpTo(stream: Readable, before: Buffer, wanted: number): Buffer {
  let seen = before;
  while (seen.length < wanted && stream.readableLength > 0) {
    const piece = stream.read(Math.min(stream.readableLength, wanted - seen.length)) as Buffer | null;
    if (piece === null) break;
    seen = Buffer.concat([seen, piece]);
  }
  return seen;
}

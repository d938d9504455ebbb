import { Duplex, type Readable, type Writable } from 'node:stream';

/** The stream below an SSH connection: a TCP socket, or an adapter that behaves like one. */
export interface SshStream extends Duplex {
  /** Bytes written so far, queued ones included. */
  readonly bytesWritten: number;
  resetAndDestroy(): unknown;
}

export interface StreamPair {
  readonly readable: Readable;
  readonly writable: Writable;
  /** Ends both streams at once. */
  close(): void;
  /** The owner of the streams reports when and why they end: until then their ends are not passed on. */
  readonly ownerReportsEnd?: true;
}

/** Adapts a pair of streams to one: a channel through another server, or the pipes of a program. */
export function adaptStreams(pair: StreamPair): SshStream {
  return new StreamAdapter(pair);
}

class StreamAdapter extends Duplex implements SshStream {
  readonly #pair: StreamPair;
  #sent = 0;

  constructor(pair: StreamPair) {
    super({ allowHalfOpen: true });
    this.#pair = pair;
    const { readable, writable } = pair;
    readable.on('data', (chunk: Buffer) => {
      // After the end the rest is read and dropped, so that the stream reaches its own end.
      if (!this.destroyed && !this.push(chunk)) readable.pause();
    });
    // The owner of the streams reports what went wrong.
    const onFailure = () => {
      if (pair.ownerReportsEnd !== true) this.destroy();
    };
    readable.on('end', () => {
      if (pair.ownerReportsEnd !== true) this.push(null);
    });
    readable.on('close', onFailure).on('error', onFailure);
    writable.on('error', onFailure);
  }

  get bytesWritten(): number {
    return this.#sent + this.writableLength;
  }

  resetAndDestroy(): void {
    this.destroy();
  }

  override _read(): void {
    this.#pair.readable.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    const { writable } = this.#pair;
    if (!writable.writable) {
      done();
      return;
    }
    writable.write(bytes, (error) => {
      if (!error) this.#sent += bytes.length;
      done(this.#pair.ownerReportsEnd === true ? null : error);
    });
  }

  override _final(done: () => void): void {
    this.#pair.writable.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#pair.close();
    // An unread stream never closes.
    this.#pair.readable.resume();
    done(error);
  }
}

import { Duplex, type Readable, type Writable } from 'node:stream';

/** What an SSH connection runs over: a TCP socket, or something that behaves like one. */
export interface SshStream extends Duplex {
  /** Bytes written so far, those that still wait included. */
  readonly bytesWritten: number;
  resetAndDestroy(): unknown;
}

export interface StreamPair {
  readonly readable: Readable;
  readonly writable: Writable;
  /** Ends both at once. */
  close(): void;
  /** Somebody else says when they have ended, and why: until then their ends are not passed on. */
  readonly ownerReportsEnd?: true;
}

/** Makes a wire of two streams: a channel through another server, the pipes of a program. */
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
      // After the end it is read for nobody, so that it comes to its own end.
      if (!this.destroyed && !this.push(chunk)) readable.pause();
    });
    // What went wrong is told by whoever made the streams.
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
    // A stream that nobody reads never closes.
    this.#pair.readable.resume();
    done(error);
  }
}

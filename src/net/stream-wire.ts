import { Duplex, type Readable, type Writable } from 'node:stream';

/** What an SSH connection runs over: a TCP socket, or something that behaves like one. */
export interface Wire extends Duplex {
  /** Bytes written so far, those that still wait included. */
  readonly bytesWritten: number;
  resetAndDestroy(): unknown;
}

export interface Ends {
  readonly readable: Readable;
  readonly writable: Writable;
  /** Ends both at once. */
  close(): void;
  /** Somebody else says when they have ended, and why: until then their ends are not passed on. */
  readonly held?: true;
}

/** Makes a wire of two streams: a channel through another server, the pipes of a program. */
export function wireOf(ends: Ends): Wire {
  return new StreamWire(ends);
}

class StreamWire extends Duplex implements Wire {
  readonly #ends: Ends;
  #sent = 0;

  constructor(ends: Ends) {
    super({ allowHalfOpen: true });
    this.#ends = ends;
    const { readable, writable } = ends;
    readable.on('data', (chunk: Buffer) => {
      // After the end it is read for nobody, so that it comes to its own end.
      if (!this.destroyed && !this.push(chunk)) readable.pause();
    });
    // What went wrong is told by whoever made the streams.
    const over = () => {
      if (ends.held !== true) this.destroy();
    };
    readable.on('end', () => {
      if (ends.held !== true) this.push(null);
    });
    readable.on('close', over).on('error', over);
    writable.on('error', over);
  }

  get bytesWritten(): number {
    return this.#sent + this.writableLength;
  }

  resetAndDestroy(): void {
    this.destroy();
  }

  override _read(): void {
    this.#ends.readable.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    const { writable } = this.#ends;
    if (!writable.writable) {
      done();
      return;
    }
    writable.write(bytes, (error) => {
      if (!error) this.#sent += bytes.length;
      done(this.#ends.held === true ? null : error);
    });
  }

  override _final(done: () => void): void {
    this.#ends.writable.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#ends.close();
    // A stream that nobody reads never closes.
    this.#ends.readable.resume();
    done(error);
  }
}

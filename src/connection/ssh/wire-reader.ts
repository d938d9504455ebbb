/** Reads the types of RFC 4251 section 5. Each method throws a RangeError where the bytes end too early. */
export class WireReader {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** How many bytes have been read. */
  get at(): number {
    return this.#at;
  }

  atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    return this.bytes(1).readUInt8();
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.bytes(8).readBigUInt64BE();
  }

  /** A view, not a copy. */
  string(): Buffer {
    return this.bytes(this.uint32());
  }

  /** A string with the name of an algorithm or an option. */
  text(): string {
    return this.string().toString('latin1');
  }

  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at);
  }

  bytes(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw new RangeError('the bytes end too early');
    const value = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return value;
  }
}

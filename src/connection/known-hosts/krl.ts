/** Plain keys that are revoked: whole key blobs, and digests of blobs, in base64. */
export interface RevokedSet {
  readonly blobs: ReadonlySet<string>;
  readonly sha1: ReadonlySet<string>;
  readonly sha256: ReadonlySet<string>;
}

/** Whether the bytes are a key revocation list, well-formed or not. */
export function isKrl(bytes: Buffer): boolean {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC);
}

/**
 * In steps, for inSlices(): the plain keys of a key revocation list (PROTOCOL.krl of OpenSSH; `ssh-keygen -k`).
 * Certificates are skipped, since no host certificate is ever accepted. Throws an Error, the end of a sentence about
 * the file, for what cannot be understood: a revocation may be hidden there.
 */
export function* parseKrl(bytes: Buffer): Generator<undefined, RevokedSet> {
  const reader = new Reader(bytes.subarray(MAGIC.length));
  const version = reader.uint32();
  if (version !== 1) throw new Error(`is a key revocation list of the unknown format ${version}`);
  reader.skip(3 * UINT64); // its own version, its date, flags
  reader.string(); // reserved
  reader.string(); // a comment
  const found = { blobs: new Set<string>(), sha1: new Set<string>(), sha256: new Set<string>() };
  while (!reader.atEnd()) {
    const type = reader.byte();
    const section = new Reader(reader.string());
    switch (type) {
      case CERTIFICATES:
        break;
      case EXPLICIT_KEY:
        yield* addAll(found.blobs, section);
        break;
      case FINGERPRINT_SHA1:
        yield* addAll(found.sha1, section);
        break;
      case FINGERPRINT_SHA256:
        yield* addAll(found.sha256, section);
        break;
      case EXTENSION:
        refuseCritical(section);
        break;
      default:
        throw new Error(`has a section of the unknown type ${type}`);
    }
  }
  return found;
}

const MAGIC = Buffer.from('SSHKRL\n\0', 'latin1');
const UINT64 = 8;
const CERTIFICATES = 1;
const EXPLICIT_KEY = 2;
const FINGERPRINT_SHA1 = 3;
const FINGERPRINT_SHA256 = 5;
const EXTENSION = 255;

function* addAll(set: Set<string>, section: Reader): Generator<undefined, void> {
  while (!section.atEnd()) {
    yield;
    set.add(section.string().toString('base64'));
  }
}

function refuseCritical(section: Reader): void {
  section.string(); // its name
  if (section.byte() !== 0) throw new Error('has an unknown critical extension');
}

/** RFC 4251 section 5. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  skip(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Error('is a truncated or damaged key revocation list');
    const skipped = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return skipped;
  }

  byte(): number {
    return this.skip(1).readUInt8();
  }

  uint32(): number {
    return this.skip(4).readUInt32BE();
  }

  string(): Buffer {
    return this.skip(this.uint32());
  }
}

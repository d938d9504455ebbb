import { WireReader } from '../ssh/wire-reader.ts';

/** What a list revokes: whole key blobs and digests of blobs, in base64, and certificates. */
export interface RevokedSet {
  readonly blobs: ReadonlySet<string>;
  readonly sha1: ReadonlySet<string>;
  readonly sha256: ReadonlySet<string>;
  readonly certificates: readonly RevokedCertificates[];
}

/** Certificates that are revoked, those of one authority or of all. */
interface RevokedCertificates {
  /** The authority's key blob; null for every authority. */
  readonly authority: Buffer | null;
  readonly keyIds: ReadonlySet<string>;
  /** Each decides whether a serial number is revoked. */
  readonly serials: readonly ((serial: bigint) => boolean)[];
}

/** Whether the bytes are a key revocation list, well-formed or not. */
export function isKrl(bytes: Buffer): boolean {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC);
}

/**
 * In steps, for inSlices(): a key revocation list (PROTOCOL.krl of OpenSSH; `ssh-keygen -k`). Its signature is not
 * checked, as ssh does not. Throws an Error, the end of a sentence about the file, for what cannot be understood: a
 * revocation may be hidden there.
 */
export function* parseKrl(bytes: Buffer): Generator<undefined, RevokedSet> {
  try {
    return yield* parseSections(new WireReader(bytes.subarray(MAGIC.length)));
  } catch (error) {
    throw error instanceof RangeError ? new Error(DAMAGED, { cause: error }) : error;
  }
}

const DAMAGED = 'is a truncated or damaged key revocation list';

function* parseSections(reader: WireReader): Generator<undefined, RevokedSet> {
  const version = reader.uint32();
  if (version !== 1) throw new Error(`is a key revocation list of the unknown format ${version}`);
  reader.bytes(3 * UINT64); // its own version, its date, flags
  reader.string(); // reserved
  reader.string(); // a comment
  const found = {
    blobs: new Set<string>(),
    sha1: new Set<string>(),
    sha256: new Set<string>(),
    certificates: [] as RevokedCertificates[],
  };
  while (!reader.atEnd()) {
    const type = reader.byte();
    const section = new WireReader(reader.string());
    const keys = KEYS[type];
    if (keys !== undefined) yield* addAll(found[keys.set], section, keys.bytes);
    else if (type === CERTIFICATES) found.certificates.push(yield* parseCertificates(section));
    else if (type === EXTENSION) refuseCritical(section);
    else if (type === SIGNATURE) reader.string(); // the first was the key of the signature
    else throw new Error(`has a section of the unknown type ${type}`);
  }
  return found;
}

const MAGIC = Buffer.from('SSHKRL\n\0', 'latin1');
const UINT64 = 8;
const CERTIFICATES = 1;
const SIGNATURE = 4;
const EXTENSION = 255;
/** Sections of whole keys, and of their digests. */
const KEYS: Readonly<Record<number, { readonly set: 'blobs' | 'sha1' | 'sha256'; readonly bytes: number | null }>> = {
  2: { set: 'blobs', bytes: null },
  3: { set: 'sha1', bytes: 20 },
  5: { set: 'sha256', bytes: 32 },
};

function* addAll(set: Set<string>, section: WireReader, length: number | null): Generator<undefined, void> {
  while (!section.atEnd()) {
    yield;
    const item = section.string();
    if (length !== null && item.length !== length) throw new Error(`has a digest of ${item.length} bytes`);
    set.add(item.toString('base64'));
  }
}

function refuseCritical(section: WireReader): void {
  section.string(); // its name
  if (section.byte() !== 0) throw new Error('has an unknown critical extension');
}

function* parseCertificates(section: WireReader): Generator<undefined, RevokedCertificates> {
  const authority = section.string();
  section.string(); // reserved
  const keyIds = new Set<string>();
  const serials: ((serial: bigint) => boolean)[] = [];
  while (!section.atEnd()) {
    const type = section.byte();
    const part = new WireReader(section.string());
    const parseSerials = SERIALS[type];
    if (parseSerials !== undefined) serials.push(parseSerials(part));
    else if (type === CERTIFICATE_EXTENSION) {
      refuseCritical(part);
      part.string(); // its content
    } else if (type === KEY_ID) {
      while (!part.atEnd()) {
        yield;
        keyIds.add(part.string().toString());
      }
    } else throw new Error(`has a section about certificates of the unknown type ${type}`);
    if (!part.atEnd()) throw new Error(DAMAGED);
  }
  return { authority: authority.length === 0 ? null : authority, keyIds, serials };
}

/** A list, a range and a bitmap. */
const SERIALS: Readonly<Record<number, (part: WireReader) => (serial: bigint) => boolean>> = {
  0x20: (part) => inList(part.rest()),
  0x21: (part) => inRange(part.uint64(), part.uint64()),
  0x22: (part) => inBitmap(part.uint64(), part.string()),
};
const KEY_ID = 0x23;
const CERTIFICATE_EXTENSION = 0x39;

/** A list has up to half a million numbers: it stays as it is. */
function inList(list: Buffer): (serial: bigint) => boolean {
  if (list.length % UINT64 !== 0) throw new Error(DAMAGED);
  return (serial) => {
    const wanted = Buffer.alloc(UINT64);
    wanted.writeBigUInt64BE(serial);
    let at = list.indexOf(wanted);
    while (at >= 0 && at % UINT64 !== 0) at = list.indexOf(wanted, at + 1);
    return at >= 0;
  };
}

function inRange(first: bigint, last: bigint): (serial: bigint) => boolean {
  if (first > last) throw new Error('has a range of serial numbers that ends before it begins');
  return (serial) => serial >= first && serial <= last;
}

/** `bitmap` is a big-endian number (an mpint), whose lowest bit is `first`. */
function inBitmap(first: bigint, bitmap: Buffer): (serial: bigint) => boolean {
  return (serial) => {
    const bit = serial - first;
    if (bit < 0n || bit >= BigInt(bitmap.length * 8)) return false;
    const byte = bitmap[bitmap.length - 1 - Number(bit >> 3n)] ?? 0;
    return ((byte >> Number(bit & 7n)) & 1) === 1;
  };
}

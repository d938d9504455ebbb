import { createHash, createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto';
import { WireReader } from './wire-reader.ts';
import { orElse } from '../../lib/or-else.ts';

/**
 * Whether `signature`, in the encoding of SSH, is one over `data` by a plain public key. False also for what is
 * malformed, for types that are unknown, for DSA, and without `sha1` for signatures with SHA-1.
 */
export function verifySignature(key: Buffer, data: Buffer, signature: Buffer, sha1 = false): boolean {
  return orElse(() => isValid(key, data, signature, sha1), false);
}

function isValid(key: Buffer, data: Buffer, signature: Buffer, sha1: boolean): boolean {
  const reader = new WireReader(signature);
  const name = reader.text();
  const algorithm = sha1 && name === 'ssh-rsa' ? RSA_WITH_SHA1 : ALGORITHMS.get(name);
  if (algorithm === undefined) return false;
  const keyType = name.startsWith('rsa-sha2-') ? 'ssh-rsa' : name;
  const value = reader.string();
  const parsed = readKey(key, keyType);
  if (parsed === null) return false;
  const signed = parsed.application === null ? data : securityKeyData(parsed.application, data, reader);
  if (!reader.atEnd()) return false;
  const { hash, numberBytes } = algorithm;
  if (numberBytes > 0)
    return verify(hash, signed, { key: parsed.key, dsaEncoding: 'ieee-p1363' }, twoNumbers(value, numberBytes));
  if (keyType !== 'ssh-rsa') return verify(hash, signed, parsed.key, value);
  // Some implementations leave leading zeros out (ssh_rsa_verify in OpenSSH's ssh-rsa.c).
  const bytes = Math.ceil((parsed.key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  return value.length <= bytes && verify(hash, signed, parsed.key, fixedLength(value, bytes));
}

interface Algorithm {
  readonly hash: string | null;
  /** The length of each of ECDSA's two numbers, 0 for other kinds of signatures. */
  readonly numberBytes: number;
}

/** RFC 4253 section 6.6 */
const RSA_WITH_SHA1: Algorithm = { hash: 'sha1', numberBytes: 0 };

/** RFC 8709, RFC 8332, RFC 5656, and PROTOCOL.u2f of OpenSSH. But for RSA, each has the name of its type of key. */
const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map([
  ['ssh-ed25519', { hash: null, numberBytes: 0 }],
  ['rsa-sha2-256', { hash: 'sha256', numberBytes: 0 }],
  ['rsa-sha2-512', { hash: 'sha512', numberBytes: 0 }],
  ['ecdsa-sha2-nistp256', { hash: 'sha256', numberBytes: 32 }],
  ['ecdsa-sha2-nistp384', { hash: 'sha384', numberBytes: 48 }],
  ['ecdsa-sha2-nistp521', { hash: 'sha512', numberBytes: 66 }],
  ['sk-ssh-ed25519@openssh.com', { hash: null, numberBytes: 0 }],
  ['sk-ecdsa-sha2-nistp256@openssh.com', { hash: 'sha256', numberBytes: 32 }],
]);

/** A public key, with the application of a security key. Null where it is of another type. */
function readKey(blob: Buffer, type: string): { readonly key: KeyObject; readonly application: Buffer | null } | null {
  const reader = new WireReader(blob);
  if (reader.text() !== type) return null;
  const jwk = readJwk(reader, type);
  const application = type.startsWith('sk-') ? reader.string() : null;
  if (!reader.atEnd()) return null;
  return { key: createPublicKey({ key: jwk, format: 'jwk' }), application };
}

function readJwk(reader: WireReader, type: string): JsonWebKey {
  if (type.includes('ed25519')) return { kty: 'OKP', crv: 'Ed25519', x: encode(reader.string()) };
  if (type === 'ssh-rsa') {
    const [exponent, modulus] = [unsigned(reader.string()), unsigned(reader.string())];
    if (exponent.length > MAX_EXPONENT || modulus.length < MIN_MODULUS || modulus.length > MAX_MODULUS)
      throw new RangeError('no RSA key that anybody has');
    return { kty: 'RSA', e: encode(exponent), n: encode(modulus) };
  }
  const curve = reader.text();
  const point = reader.string();
  const size = (point.length - 1) / 2;
  if (point[0] !== UNCOMPRESSED || !type.includes(curve)) throw new RangeError('no point of this curve');
  const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)];
  return { kty: 'EC', crv: `P-${curve.slice(-3)}`, x: encode(x), y: encode(y) };
}

/** In bytes: with longer numbers a signature takes long to check. The least is that of OpenSSH (SSH_RSA_MINIMUM_MODULUS_SIZE). */
const MAX_EXPONENT = 8;
const MIN_MODULUS = 128;
const MAX_MODULUS = 2048;

/** SEC 1 section 2.3.3: RFC 5656 section 3.1 allows compression, and OpenSSH does not read it. */
const UNCOMPRESSED = 4;

/** What a security key has signed: its flags and counter follow the signature (PROTOCOL.u2f). */
function securityKeyData(application: Buffer, data: Buffer, reader: WireReader): Buffer {
  const flagsAndCounter = reader.bytes(5);
  return Buffer.concat([sha256(application), flagsAndCounter, sha256(data)]);
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}

function twoNumbers(value: Buffer, length: number): Buffer {
  const reader = new WireReader(value);
  const numbers = [reader.string(), reader.string()].map((number) => fixedLength(unsigned(number), length));
  if (!reader.atEnd()) throw new RangeError('more than two numbers');
  return Buffer.concat(numbers);
}

/** An mpint without the byte that says it is positive (RFC 4251 section 5). */
function unsigned(mpint: Buffer): Buffer {
  if (((mpint[0] ?? 0) & 0x80) !== 0) throw new RangeError('a negative number');
  return mpint[0] === 0 ? mpint.subarray(1) : mpint;
}

function fixedLength(number: Buffer, length: number): Buffer {
  if (number.length > length) throw new RangeError('a number too large');
  return Buffer.concat([Buffer.alloc(length - number.length), number]);
}

function encode(bytes: Buffer): string {
  return bytes.toString('base64url');
}

import { WireReader } from './wire-reader.ts';
import { sshString } from './wire-writer.ts';
import { verifySignature } from './signature.ts';
import { orElse } from '../../lib/or-else.ts';

/** An OpenSSH certificate (PROTOCOL.certkeys): an authority's statement that a key belongs to these names. */
export interface Certificate {
  readonly blob: Buffer;
  /** Such as `ssh-ed25519-cert-v01@openssh.com`. */
  readonly type: string;
  /** The type of the key in it, such as `ssh-ed25519`. */
  readonly keyType: string;
  /** The key in it, as a blob of its own. */
  readonly key: Buffer;
  readonly serial: bigint;
  readonly use: 'user' | 'host' | 'unknown';
  readonly keyId: string;
  /** Users or hosts. Where there are none, servers differ: OpenSSH took a certificate without any for all names before 10.3, and for none since. */
  readonly principals: readonly string[];
  /** Seconds since 1970, the first that is part of it. */
  readonly validAfter: bigint;
  /** Seconds since 1970, the first that is no longer part of it; FOREVER without an end. */
  readonly validBefore: bigint;
  readonly criticalOptions: readonly CertificateOption[];
  readonly extensions: readonly CertificateOption[];
  /** The authority's key, a plain one. */
  readonly authority: Buffer;
  /** The algorithm of the authority's signature, such as `rsa-sha2-512`. */
  readonly signatureAlgorithm: string;
  readonly signature: Buffer;
}

interface CertificateOption {
  readonly name: string;
  /** As it stands there: empty, or a string of SSH with the value. */
  readonly data: Buffer;
}

/** `ssh-keygen -V always:forever`. */
export const FOREVER = 0xffff_ffff_ffff_ffffn;

/** The last second that a Date can show (ECMA-262, time values), in the year 275760. */
export const LAST_SECOND = 8_640_000_000_000n;

/**
 * Reads a certificate; null for anything else, and for a malformed one. That its authority has signed it is another
 * question: isSigned().
 */
export function readCertificate(blob: Buffer): Certificate | null {
  return orElse(() => parse(blob), null);
}

/**
 * Whether the signature is of the authority that the certificate names; without `sha1`, SHA-1 is none. It does not say
 * whether that authority is trusted.
 */
export function isSigned({ blob, authority, signature }: Certificate, sha1 = false): boolean {
  const signed = blob.subarray(0, blob.length - LENGTH_BYTES - signature.length);
  return verifySignature(authority, signed, signature, sha1);
}

/** The types of certificates, each with the type of key in it, and how many strings that has (PROTOCOL.certkeys, PROTOCOL.u2f). */
const KEYS: Readonly<Record<string, { readonly keyType: string; readonly fields: number } | undefined>> = {
  'ssh-ed25519-cert-v01@openssh.com': { keyType: 'ssh-ed25519', fields: 1 },
  'ssh-rsa-cert-v01@openssh.com': { keyType: 'ssh-rsa', fields: 2 },
  'ecdsa-sha2-nistp256-cert-v01@openssh.com': { keyType: 'ecdsa-sha2-nistp256', fields: 2 },
  'ecdsa-sha2-nistp384-cert-v01@openssh.com': { keyType: 'ecdsa-sha2-nistp384', fields: 2 },
  'ecdsa-sha2-nistp521-cert-v01@openssh.com': { keyType: 'ecdsa-sha2-nistp521', fields: 2 },
  'sk-ssh-ed25519-cert-v01@openssh.com': { keyType: 'sk-ssh-ed25519@openssh.com', fields: 2 },
  'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com': { keyType: 'sk-ecdsa-sha2-nistp256@openssh.com', fields: 3 },
};

function parse(blob: Buffer): Certificate | null {
  const reader = new WireReader(blob);
  const type = reader.text();
  const known = KEYS[type];
  if (known === undefined) return null;
  const { keyType, fields } = known;
  reader.string(); // a nonce
  const from = reader.at;
  for (let field = 0; field < fields; field++) reader.string();
  // In the order of the fields.
  const certificate = {
    blob,
    type,
    keyType,
    key: Buffer.concat([sshString(keyType), blob.subarray(from, reader.at)]),
    serial: reader.uint64(),
    use: USES[reader.uint32()] ?? 'unknown',
    keyId: reader.string().toString(),
    principals: listIn(reader.string(), (one) => one.string().toString()),
    validAfter: reader.uint64(),
    validBefore: reader.uint64(),
    criticalOptions: listIn(reader.string(), readOption),
    extensions: listIn(reader.string(), readOption),
    reserved: reader.string(),
    authority: reader.string(),
    signature: reader.string(),
  } as const;
  // An authority must not be a certificate itself.
  if (!reader.atEnd() || KEYS[new WireReader(certificate.authority).text()] !== undefined) return null;
  return { ...certificate, signatureAlgorithm: new WireReader(certificate.signature).text() };
}

const USES: Readonly<Record<number, 'user' | 'host'>> = { 1: 'user', 2: 'host' };
const LENGTH_BYTES = 4;

function listIn<T>(list: Buffer, read: (reader: WireReader) => T): T[] {
  const reader = new WireReader(list);
  const found: T[] = [];
  while (!reader.atEnd()) {
    found.push(read(reader));
    if (found.length > MAX_ENTRIES) throw new RangeError('too many principals or options');
  }
  return found;
}

function readOption(reader: WireReader): CertificateOption {
  return { name: reader.text(), data: reader.string() };
}

/** As in OpenSSH (SSHKEY_CERT_MAX_PRINCIPALS). */
const MAX_ENTRIES = 256;

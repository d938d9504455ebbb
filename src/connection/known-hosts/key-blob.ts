import { createHash } from 'node:crypto';
import { orElse } from '../../lib/or-else.ts';
import { WireReader } from '../ssh/wire-reader.ts';

/** The fingerprint of a public key blob as `ssh-keygen -lf` prints it: `SHA256:` and unpadded base64. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/**
 * The key type that a public key blob names, such as `ssh-ed25519`; UNKNOWN_KEY_TYPE where the blob is malformed. The
 * blob comes from a server that is not trusted yet: the result is safe to print and to write to a file.
 */
export function keyTypeOf(key: Buffer): string {
  const name = stringAt(key, 0)?.toString('latin1') ?? '';
  return ALGORITHM_NAME.test(name) ? name : UNKNOWN_KEY_TYPE;
}

export const UNKNOWN_KEY_TYPE = 'unknown';

/** RFC 4251 section 6: algorithm names are printable US-ASCII without a comma, at most 64 characters. */
const ALGORITHM_NAME = /^[A-Za-z0-9@._+-]{1,64}$/;

/**
 * Whether a blob is complete: two or more SSH strings and nothing else, as in all plain public keys (RFC 4253 section
 * 6.6, RFC 5656, RFC 8709). Certificates contain plain numbers too, so only their type is checked.
 */
export function isCompleteKey(key: Buffer): boolean {
  if (isCertificateType(keyTypeOf(key))) return true;
  return orElse(() => {
    const reader = new WireReader(key);
    let count = 0;
    for (; !reader.atEnd(); count++) reader.string();
    return count >= 2;
  }, false);
}

/** Whether a type of key, or an algorithm, is one of certificates (PROTOCOL.certkeys of OpenSSH). */
export function isCertificateType(type: string): boolean {
  return /-cert-v\d\d@/.test(type);
}

/** The bits of an RSA key (RFC 4253 section 6.6: the type, the exponent, the modulus), or null for a key of another type. */
export function rsaBits(key: Buffer): number | null {
  if (keyTypeOf(key) !== 'ssh-rsa') return null;
  const modulus = stringAt(key, 2);
  const first = modulus?.findIndex((byte) => byte !== 0) ?? -1;
  if (!modulus || first < 0) return 0;
  return (modulus.length - first) * 8 - Math.clz32(modulus[first]!) + 24;
}

/**
 * The exponent of an RSA key, as an mpint (RFC 4251 section 5); null for a key of another type, and for a malformed
 * one.
 */
export function rsaExponent(key: Buffer): Buffer | null {
  return keyTypeOf(key) === 'ssh-rsa' ? stringAt(key, 1) : null;
}

/** Null where the blob ends too early. */
function stringAt(blob: Buffer, index: number): Buffer | null {
  const reader = new WireReader(blob);
  return orElse(() => {
    for (let before = 0; before < index; before++) reader.string();
    return reader.string();
  }, null);
}

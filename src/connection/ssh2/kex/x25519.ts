import { rawPublicKey } from '../../ssh/raw-key.ts';
import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';

export const X25519_BYTES = 32;

/** One side of an exchange by X25519 (RFC 7748). */
export interface X25519 {
  /** What the other side is sent. */
  readonly point: Buffer;
  /** Throws where theirs is no point, and where the result is zero, as for a point of low order (section 6.1). */
  secretWith(theirs: Buffer): Buffer;
}

export function createX25519({ privateKey, publicKey } = generateKeyPairSync('x25519')): X25519 {
  return {
    point: rawPublicKey(publicKey),
    secretWith: (theirs) => diffieHellman({ privateKey, publicKey: publicKeyOf(theirs) }),
  };
}

function publicKeyOf(point: Buffer): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: point.toString('base64url') }, format: 'jwk' });
}

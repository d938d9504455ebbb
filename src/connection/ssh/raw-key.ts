import type { KeyObject } from 'node:crypto';

/**
 * The 32 bytes of an Ed25519 or X25519 key (RFC 8410: they are the end of its DER).
 *
 * Not by JWK: there Node.js 20 makes objects while it holds the key's lock, and a full garbage collection at that moment, which finds
 * the job that made the key, waits for the same lock for ever.
 */
export function rawPublicKey(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(-BYTES);
}

/** The same of a private key: its seed. */
export function rawPrivateKey(key: KeyObject): Buffer {
  return key.export({ type: 'pkcs8', format: 'der' }).subarray(-BYTES);
}

const BYTES = 32;

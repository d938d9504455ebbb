import { randomBytes } from 'node:crypto';
import { atOnce } from '../../src/lib/async/slices.ts';
import { encodeSmall, randomShort, seal, secretOf } from '../../src/connection/ssh2/kex/sntrup761.ts';

/** The server's part of sntrup761: seals a new secret to a client's public key. */
export function encapsulate(publicKey: Buffer): { readonly ciphertext: Buffer; readonly secret: Buffer } {
  const r = atOnce(randomShort(randomBytes));
  const ciphertext = atOnce(seal(publicKey, r));
  return { ciphertext, secret: secretOf(1, encodeSmall(r), ciphertext) };
}

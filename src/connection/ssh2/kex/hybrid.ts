import { createHash, randomBytes } from 'node:crypto';
import { inSlices, ownTick } from '../../../lib/async/slices.ts';
import { errorText } from '../../../lib/text.ts';
import * as mlKem from './ml-kem.ts';
import * as sntrup761 from './sntrup761.ts';
import { createX25519, X25519_BYTES } from './x25519.ts';

/** Two key exchanges at once, so that an attacker has to break both: X25519, and a key encapsulation mechanism. */
export interface Hybrid {
  /** What a client sends. */
  readonly publicKey: Buffer;
  /** K of the exchange hash and of the keys, a string, from what the server sent. Rejects where that is malformed. */
  secretWith(theirs: Buffer): Promise<Buffer>;
}

/** Begins the key exchange of this name in slices: a small computer needs a tenth of a second and more for it. */
export function openHybrid(name: string, loadMlKem = mlKem.loadMlKem): Promise<Hybrid> {
  return name === MLKEM ? openMlKem(loadMlKem) : openSntrup();
}

const MLKEM = 'mlkem768x25519-sha256';

/** Whether a key exchange of this name can be had. */
export function canExchange(name: string): boolean {
  return name !== MLKEM || !mlKemIsMissing;
}

let mlKemIsMissing = false;

/** RFC 9941 */
async function openSntrup(): Promise<Hybrid> {
  const key = await inSlices(sntrup761.generateKeyPair(randomBytes));
  return besideX25519('sha512', sntrup761.CIPHERTEXT_BYTES, {
    publicKey: key.publicKey,
    open: (ciphertext) => inSlices(sntrup761.decapsulate(key, ciphertext)),
  });
}

/** draft-ietf-sshm-mlkem-hybrid-kex */
async function openMlKem(load: typeof mlKem.loadMlKem): Promise<Hybrid> {
  const { generate } = await load().catch((error: unknown) => {
    // An upgrade has replaced the file: a daemon that still runs goes on without.
    mlKemIsMissing = true;
    throw new Error(`${MLKEM} is not offered any more: its code cannot be read (${errorText(error)})`);
  });
  // Code that has just been loaded is slow: what it took to load it, and its first work, each have a tick of their own.
  await ownTick();
  return besideX25519('sha256', mlKem.CIPHERTEXT_BYTES, generate());
}

interface KeyEncapsulation {
  readonly publicKey: Buffer;
  open(ciphertext: Buffer): Uint8Array | Promise<Uint8Array>;
}

/** Both public keys, and both answers, one after the other; K is the hash of both secrets. */
export function besideX25519(
  hash: 'sha256' | 'sha512',
  ciphertextBytes: number,
  { publicKey, open }: KeyEncapsulation,
  classic = createX25519(),
): Hybrid {
  return {
    publicKey: Buffer.concat([publicKey, classic.point]),
    secretWith: async (theirs) => {
      if (theirs.length !== ciphertextBytes + X25519_BYTES)
        throw new Error(`the server's half has ${theirs.length} bytes, not ${ciphertextBytes + X25519_BYTES}`);
      const shared = classic.secretWith(theirs.subarray(ciphertextBytes));
      const sealed = await open(theirs.subarray(0, ciphertextBytes));
      return createHash(hash).update(sealed).update(shared).digest();
    },
  };
}

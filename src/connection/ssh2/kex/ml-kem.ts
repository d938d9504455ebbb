import * as crypto from 'node:crypto';

/** ML-KEM-768 (FIPS 203), of which a client makes the key pair and opens what the server sealed to it. */
export interface MlKem768 {
  /** A key pair for one use. */
  generate(): MlKemKeyPair;
}

interface MlKemKeyPair {
  readonly publicKey: Buffer;
  /** The 32 bytes that were sealed, or some that look random. Throws for a ciphertext of another length. */
  open(ciphertext: Buffer): Uint8Array;
}

export const PUBLIC_KEY_BYTES = 1184;
export const CIPHERTEXT_BYTES = 1088;

/** Node's own, or else one in JavaScript, which is loaded with its first use. Rejects where that cannot be read. */
export async function loadMlKem(): Promise<MlKem768> {
  return nativeMlKem() ?? (await javaScriptMlKem());
}

/** Null before Node.js 24.7, and where it was built with an OpenSSL before 3.5. */
export function nativeMlKem(): MlKem768 | null {
  const { decapsulate, generateKeyPairSync } = crypto as unknown as NewerCrypto;
  if (decapsulate === undefined) return null;
  try {
    generateKeyPairSync('ml-kem-768');
  } catch {
    return null;
  }
  return {
    generate: () => {
      const { publicKey, privateKey } = generateKeyPairSync('ml-kem-768');
      return {
        // A SubjectPublicKeyInfo ends with the key itself (RFC 5280 section 4.1).
        publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(-PUBLIC_KEY_BYTES),
        open: (ciphertext) => decapsulate(privateKey, checked(ciphertext)),
      };
    },
  };
}

/** Missing in the types of Node.js 20. */
interface NewerCrypto {
  readonly decapsulate?: (key: crypto.KeyObject, ciphertext: Buffer) => Buffer;
  generateKeyPairSync(type: 'ml-kem-768'): crypto.KeyPairKeyObjectResult;
}

/** `seed`, of 64 bytes, is in place of chance for tests (FIPS 203 section 7.1: d and z). */
export async function javaScriptMlKem(seed?: Uint8Array): Promise<MlKem768> {
  const { ml_kem768: mlKem } = await import('@noble/post-quantum/ml-kem.js');
  return {
    generate: () => {
      const { publicKey, secretKey } = mlKem.keygen(seed);
      return {
        publicKey: Buffer.from(publicKey),
        open: (ciphertext) => mlKem.decapsulate(checked(ciphertext), secretKey),
      };
    },
  };
}

function checked(ciphertext: Buffer): Buffer {
  if (ciphertext.length !== CIPHERTEXT_BYTES) throw new Error(`an ML-KEM ciphertext has ${ciphertext.length} bytes`);
  return ciphertext;
}

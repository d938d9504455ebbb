import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inverseModulo3 } from '../../../../src/connection/ssh2/kex/inverse-modulo-3.ts';
import {
  CIPHERTEXT_BYTES,
  decapsulate,
  generateKeyPair,
  PUBLIC_KEY_BYTES,
  publicKeyOf,
} from '../../../../src/connection/ssh2/kex/sntrup761.ts';
import { atOnce } from '../../../../src/lib/async/slices.ts';
import { encapsulate } from '../../../support/sntrup761-server.ts';

interface Vector {
  readonly secretKey: string;
  readonly ciphertext: string;
  readonly secret: string;
}

const { vectors } = JSON.parse(readFileSync(join(import.meta.dirname, 'sntrup761.json'), 'utf8')) as {
  readonly vectors: readonly Vector[];
};

const SMALL = 191;

for (const [index, vector] of vectors.entries())
  test(`opens the published ciphertext ${index}, and makes the public key of its secret one`, () => {
    const [secretKey, ciphertext, secret] = [vector.secretKey, vector.ciphertext, vector.secret].map((text) =>
      Buffer.from(text, 'hex'),
    ) as [Buffer, Buffer, Buffer];
    const publicKey = secretKey.subarray(2 * SMALL, 2 * SMALL + PUBLIC_KEY_BYTES);
    const [f, inverse] = [0, SMALL].map((at) => decodeSmall(secretKey.subarray(at, at + SMALL))) as [Int32Array, Int32Array]; // oxfmt-ignore
    const unfit = secretKey.subarray(2 * SMALL + PUBLIC_KEY_BYTES, -32);
    assert.ok(atOnce(decapsulate({ publicKey, f, inverse, unfit }, ciphertext)).equals(secret));
    const g = atOnce(inverseModulo3(inverse));
    assert.ok(g !== null && atOnce(publicKeyOf(f, g)).equals(publicKey));
    // It ends with a hash of the public key.
    const hash = createHash('sha512').update(Buffer.of(4)).update(publicKey).digest();
    assert.ok(secretKey.subarray(-32).equals(hash.subarray(0, 32)));
  });

/** Four coefficients in a byte, the first in its lowest bits. */
function decodeSmall(bytes: Buffer): Int32Array {
  return Int32Array.from({ length: 761 }, (_, i) => ((bytes[i >> 2]! >> (2 * (i & 3))) & 3) - 1);
}

test('gives both sides the same secret when they exchange keys two hundred times', () => {
  for (let pairs = 0; pairs < 20; pairs++) {
    const key = atOnce(generateKeyPair(randomBytes));
    for (let round = 0; round < 10; round++) {
      const { ciphertext, secret } = encapsulate(key.publicKey);
      assert.ok(atOnce(decapsulate(key, ciphertext)).equals(secret));
    }
  }
});

test('gives a secret that nobody else has, always the same one, when the ciphertext was not made with the key', () => {
  const key = atOnce(generateKeyPair(randomBytes));
  const { ciphertext, secret } = encapsulate(key.publicKey);
  const spoilt = [0, 1, 500, 1006, 1007, CIPHERTEXT_BYTES - 1].map((at) => {
    const copy = Buffer.from(ciphertext);
    copy[at]! ^= 1;
    return copy;
  });
  const foreign = [
    ...spoilt,
    encapsulate(atOnce(generateKeyPair(randomBytes)).publicKey).ciphertext,
    Buffer.alloc(CIPHERTEXT_BYTES),
    Buffer.alloc(CIPHERTEXT_BYTES, 0xff),
    randomBytes(CIPHERTEXT_BYTES),
  ];
  const secrets = foreign.map((one) => atOnce(decapsulate(key, one)));
  assert.equal(new Set([secret, ...secrets].map((one) => one.toString('hex'))).size, foreign.length + 1);
  assert.deepEqual(
    foreign.map((one) => atOnce(decapsulate(key, one))),
    secrets,
  );
  // Of the secret of such a ciphertext, the key knows a part that nothing sent shows.
  const other = { ...key, unfit: Buffer.from(key.unfit) };
  other.unfit[0]! ^= 1;
  assert.ok(!atOnce(decapsulate(other, foreign[0]!)).equals(secrets[0]!));
  assert.ok(atOnce(decapsulate(other, ciphertext)).equals(secret));
});

test('refuses a ciphertext of another length', () => {
  const key = atOnce(generateKeyPair(randomBytes));
  for (const length of [0, 1, CIPHERTEXT_BYTES - 1, CIPHERTEXT_BYTES + 1])
    assert.throws(() => atOnce(decapsulate(key, Buffer.alloc(length))), /ciphertext has \d+ bytes/);
});

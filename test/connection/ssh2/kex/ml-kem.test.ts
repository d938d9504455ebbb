import assert from 'node:assert/strict';
import { ml_kem768 as reference } from '@noble/post-quantum/ml-kem.js';
import { test } from 'node:test';
import {
  CIPHERTEXT_BYTES,
  javaScriptMlKem,
  loadMlKem,
  nativeMlKem,
  PUBLIC_KEY_BYTES,
} from '../../../../src/connection/ssh2/kex/ml-kem.ts';

const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];

test('has the same secret as the other side, by Node.js where it can and else by JavaScript', async () => {
  // OpenSSL has it since 3.5; a Node.js that is built with another one has not.
  const isNewer = major > 24 || (major === 24 && minor >= 7);
  if (!isNewer) assert.equal(nativeMlKem(), null);
  const kinds = [nativeMlKem(), await javaScriptMlKem(), await loadMlKem()].filter((kind) => kind !== null);
  for (const { generate } of kinds) {
    const { publicKey, open } = generate();
    assert.equal(publicKey.length, PUBLIC_KEY_BYTES);
    const { cipherText, sharedSecret } = reference.encapsulate(publicKey);
    assert.deepEqual(Buffer.from(open(Buffer.from(cipherText))), Buffer.from(sharedSecret));
    // What was not made with the key gives a secret of its own (FIPS 203 section 6.3).
    cipherText[0]! ^= 1;
    const implicit = Buffer.from(open(Buffer.from(cipherText)));
    assert.equal(implicit.length, 32);
    assert.ok(!implicit.equals(Buffer.from(sharedSecret)));
    assert.deepEqual(Buffer.from(open(Buffer.from(cipherText))), implicit);
    for (const length of [0, CIPHERTEXT_BYTES - 1, CIPHERTEXT_BYTES + 1])
      assert.throws(() => open(Buffer.alloc(length)), /ciphertext has \d+ bytes/);
  }
});

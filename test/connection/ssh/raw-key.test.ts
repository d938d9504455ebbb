import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { rawPrivateKey, rawPublicKey } from '../../../src/connection/ssh/raw-key.ts';

test('gives the bytes of a key', () => {
  // The first test of RFC 8032, 7.1, in PKCS #8.
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = createPrivateKey({ key: der, type: 'pkcs8', format: 'der' });
  const point = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
  assert.deepEqual(rawPrivateKey(key), seed);
  assert.equal(rawPublicKey(createPublicKey(key)).toString('hex'), point);
});

test('is used in the place of JWK, which can stop Node.js for ever', () => {
  const exportsJwk = /\.export\(\{[^}]*['"]jwk['"]/;
  for (const folder of ['src', 'test']) {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    assert.notEqual(files.length, 0);
    const found = files.filter((file) => exportsJwk.test(readFileSync(`${folder}/${file}`, 'utf8')));
    assert.deepEqual(found, []);
  }
});

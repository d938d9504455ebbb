import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { besideX25519, canExchange, openHybrid } from '../../../../src/connection/ssh2/kex/hybrid.ts';
import { createX25519 } from '../../../../src/connection/ssh2/kex/x25519.ts';
import type { TunnelSpec } from '../../../../src/model/spec.ts';
import { algorithms } from '../../../../src/connection/ssh2/algorithms.ts';
import { CIPHERTEXT_BYTES, javaScriptMlKem } from '../../../../src/connection/ssh2/kex/ml-kem.ts';
import * as sntrup761 from '../../../../src/connection/ssh2/kex/sntrup761.ts';
import { countTicks } from '../../../support/loop-delay.ts';
import { encapsulate } from '../../../support/sntrup761-server.ts';

interface Transcript {
  readonly client: Readonly<Record<'identification' | 'kexInit' | 'mlKemSeed' | 'x25519', string>>;
  readonly server: Readonly<Record<'identification' | 'kexInit' | 'reply', string>>;
}

test('has the secret of a real server: its signature over the exchange hash is good', async () => {
  const text = readFileSync(join(import.meta.dirname, 'mlkem768.json'), 'utf8');
  const { client, server } = JSON.parse(text) as Transcript;
  const { generate } = await javaScriptMlKem(Buffer.from(client.mlKemSeed, 'hex'));
  const { publicKey, secretWith } = besideX25519(
    'sha256',
    CIPHERTEXT_BYTES,
    generate(),
    createX25519(x25519Of(client.x25519)),
  );
  const [hostKey, theirs, signature] = stringsOf(Buffer.from(server.reply, 'hex').subarray(1)) as [Buffer, Buffer, Buffer]; // oxfmt-ignore
  const exchangeHash = createHash('sha256');
  for (const part of [
    Buffer.from(client.identification),
    Buffer.from(server.identification),
    Buffer.from(client.kexInit, 'hex'),
    Buffer.from(server.kexInit, 'hex'),
    hostKey,
    publicKey,
    theirs,
    await secretWith(theirs),
  ])
    exchangeHash.update(sshString(part));
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: stringsOf(hostKey)[1]!.toString('base64url') };
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  assert.equal(verify(null, exchangeHash.digest(), key, stringsOf(signature)[1]!), true);
});

test('rejects a half of the server that has another length, or gives no secret', async () => {
  for (const [name, ciphertextBytes] of [
    ['mlkem768x25519-sha256', CIPHERTEXT_BYTES],
    ['sntrup761x25519-sha512', sntrup761.CIPHERTEXT_BYTES],
  ] as const) {
    const { secretWith } = await openHybrid(name);
    for (const length of [0, 31, 32, ciphertextBytes, ciphertextBytes + 31, ciphertextBytes + 33, 100_000])
      await assert.rejects(secretWith(Buffer.alloc(length, 9)), new RegExp(`has ${length} bytes, not`));
    // Points of low order, which give zero whatever the key (RFC 7748 section 6.1).
    for (const point of LOW_ORDER)
      await assert.rejects(secretWith(Buffer.concat([Buffer.alloc(ciphertextBytes, 1), Buffer.from(point, 'hex')])));
  }
});

test('lets the event loop go on while a key pair is made and a secret computed', async (t) => {
  // By this clock the time of a slice is over at each look, however fast the machine is.
  let now = performance.now();
  t.mock.method(performance, 'now', () => (now += 1000));
  const before = countTicks();
  const { publicKey, secretWith } = await openHybrid('sntrup761x25519-sha512');
  assert.ok(before() >= 3);
  const during = countTicks();
  const { ciphertext } = encapsulate(publicKey.subarray(0, sntrup761.PUBLIC_KEY_BYTES));
  const secret = await secretWith(Buffer.concat([ciphertext, Buffer.alloc(32, 9)]));
  assert.equal(secret.length, 64);
  assert.ok(during() >= 3);
});

test('lets the event loop go on between the loading of code and its first work', async () => {
  const { generate } = await javaScriptMlKem();
  let ticks = 0;
  const load = async () => {
    setImmediate(() => (ticks += 1));
    return {
      generate: () => {
        assert.equal(ticks, 1);
        return generate();
      },
    };
  };
  await openHybrid('mlkem768x25519-sha256', load);
  assert.equal(ticks, 1);
});

test('does not offer a key exchange again when its code is no longer there', async () => {
  const name = 'mlkem768x25519-sha256';
  assert.equal(canExchange(name), true);
  const missing = () => Promise.reject(new Error("Cannot find module './ml-kem-ABC.js'"));
  await assert.rejects(
    openHybrid(name, missing),
    /^Error: mlkem768x25519-sha256 is not offered any more: .*ml-kem-ABC/,
  );
  assert.equal(canExchange(name), false);
  assert.equal(canExchange('sntrup761x25519-sha512'), true);
  const spec = { hostKeyAlgorithms: null, ciphers: null, kexAlgorithms: null, macs: null } as unknown as TunnelSpec;
  const known = { knownKeyTypes: [], certified: false };
  const { kex } = algorithms(spec, known);
  assert.equal((kex as readonly string[])[0], 'sntrup761x25519-sha512');
  // A person who allows nothing else is told of it at each attempt.
  const { kex: only } = algorithms({ ...spec, kexAlgorithms: [name] }, known);
  assert.deepEqual(only, [name]);
});

/** Of order 1, 2, 4 and 8, or congruent to one of these. */
const LOW_ORDER = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
];

function x25519Of(seed: string) {
  // A private key of RFC 8410: this prefix, then its 32 bytes.
  const key = Buffer.from(`302e020100300506032b656e04220420${seed}`, 'hex');
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** The strings of RFC 4251 section 5 that follow one another. */
function stringsOf(bytes: Buffer): readonly Buffer[] {
  if (bytes.length === 0) return [];
  const end = 4 + bytes.readUInt32BE(0);
  return [bytes.subarray(4, end), ...stringsOf(bytes.subarray(end))];
}

function sshString(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

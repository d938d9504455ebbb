import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import type { Opener, Sealer } from '../../../../src/lib/addon.ts';
import { OVERHEAD, type Keys } from '../../../../src/connection/ssh2/packets/codec.ts';
import { nativeCodec, nativeProblem } from '../../../../src/connection/ssh2/packets/native.ts';
import { gcmOpener, gcmSealer } from '../../../../src/connection/ssh2/packets/node-gcm.ts';
import { createTheirs } from './theirs.ts';

// With its replacements.
await import('#ssh2');
const theirs = createTheirs(createRequire(import.meta.url)('ssh2/lib/protocol/crypto.js'));

interface Codec {
  sealer(keys: Keys): Sealer;
  opener(keys: Keys): Opener;
}

const native = nativeCodec();
const CODECS: readonly (readonly [name: string, codec: Codec, ciphers: readonly string[]])[] = [
  ['the addon', native!, ['aes-128-gcm', 'aes-256-gcm', 'chacha20']],
  ['node:crypto', { sealer: gcmSealer, opener: gcmOpener }, ['aes-128-gcm', 'aes-256-gcm']],
];
const KEY_BYTES: Readonly<Record<string, number>> = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, chacha20: 64 };

test('has an addon for this machine', () => {
  assert.equal(nativeProblem(), null);
});

for (const [name, codec, ciphers] of CODECS) {
  for (const cipher of ciphers) {
    test(`seals ${cipher} with ${name} to the bytes that ssh2 makes, whatever the size`, async () => {
      await theirs.ready();
      const keys = keysFor(cipher, 4294967290); // the number of the packet wraps
      const [sealer, opener, reference] = [codec.sealer(keys), codec.opener(keys), theirs.cipher(keys)];
      for (const size of [...Array(300).keys(), 4095, 32768, 32777, 65536, 200_000]) {
        const payload = randomBytes(size);
        const memory = Buffer.alloc(size + OVERHEAD + 8);
        payload.copy(memory, 3 + 5);
        const end = sealer.seal(memory, 3, size);
        const sealed = Buffer.from(memory.subarray(3, end));
        const [opened] = openAll(opener, memory, 3, end);
        assert.deepEqual(opened, payload, `${size}`);
        // What was opened in place has our padding.
        assert.deepEqual(sealed, reference.seal(memory.subarray(3, end - 16)), `${size}`);
      }
    });

    test(`opens with ${name} what ssh2 seals with ${cipher}`, async () => {
      await theirs.ready();
      const keys = keysFor(cipher, 3);
      const [opener, reference] = [codec.opener(keys), theirs.cipher(keys)];
      for (const size of [1, 2, 15, 16, 17, 1000, 32768]) {
        const payload = randomBytes(size);
        const sealed = reference.sealPayload(payload);
        assert.deepEqual(openAll(opener, sealed, 0, sealed.length), [payload]);
      }
    });

    test(`cuts data into packets of CHANNEL_DATA for ${cipher} with ${name}, and opens them in one call`, () => {
      const keys = keysFor(cipher, 0);
      const data = randomBytes(100_000);
      const memory = Buffer.alloc(110_000);
      const end = codec.sealer(keys).sealData(data, 10, 99_990, memory, 7, 42, 32_768);
      const payloads = openAll(codec.opener(keys), memory, 7, end);
      assert.deepEqual(payloads.length, 4);
      for (const payload of payloads) {
        assert.deepEqual([payload[0], payload.readUInt32BE(1)], [94, 42]);
        assert.equal(payload.readUInt32BE(5), payload.length - 9);
      }
      assert.deepEqual(Buffer.concat(payloads.map((payload) => payload.subarray(9))), data.subarray(10, 99_990));
    });

    test(`stops behind the first packet of ${cipher} that is no CHANNEL_DATA with ${name}`, () => {
      const keys = keysFor(cipher, 0);
      const { memory, end } = sealed(codec.sealer(keys), [dataPacket(), Buffer.from([90, 1]), dataPacket()]);
      const table = new Uint32Array(9);
      const opener = codec.opener(keys);
      assert.equal(opener.open(memory, 0, end, table), 2);
      assert.equal(opener.open(memory, table[0]!, end, table), 1);
      assert.equal(table[0], end);
    });

    test(`opens no more than fits the table, and nothing of a packet of ${cipher} that is not whole with ${name}`, () => {
      const keys = keysFor(cipher, 0);
      const { memory, end } = sealed(codec.sealer(keys), [dataPacket(), dataPacket(), dataPacket()]);
      const opener = codec.opener(keys);
      const table = new Uint32Array(3);
      assert.equal(opener.open(memory, 0, 3, table), 0);
      assert.equal(table[1], 0);
      assert.equal(opener.open(memory, 0, end - 1, table), 1);
      assert.equal(opener.open(memory, table[0]!, end - 1, table), 1);
      const last = table[0]!;
      const before = Buffer.from(memory.subarray(last, end));
      for (const to of [last, last + 1, last + 4, last + 20, end - 1]) {
        assert.equal(opener.open(memory, last, to, table), 0);
        assert.equal(table[0], last);
        assert.equal(table[1], to - last < 4 ? 0 : end - last);
      }
      assert.deepEqual(memory.subarray(last, end), before);
      assert.equal(opener.open(memory, last, end, table), 1);
    });

    test(`reports a broken packet of ${cipher} behind those that were whole with ${name}, and opens nothing after it`, () => {
      for (const [where, expected] of [
        [0, /Bad packet length|Invalid MAC|unable to authenticate/],
        [4, /Invalid MAC|unable to authenticate/],
        [-1, /Invalid MAC|unable to authenticate/],
      ] as const) {
        const keys = keysFor(cipher, 0);
        const { memory, end, starts } = sealed(codec.sealer(keys), [dataPacket(), dataPacket(), dataPacket()]);
        const broken = where < 0 ? starts[2]! + where : starts[1]! + where;
        memory[broken]! ^= 0x80;
        const opener = codec.opener(keys);
        const table = new Uint32Array(9);
        assert.equal(opener.open(memory, 0, end, table), 1);
        assert.throws(() => opener.open(memory, table[0]!, end, table), expected);
        assert.throws(() => opener.open(memory, starts[2]!, end, table), expected);
      }
    });

    test(`refuses lengths and paddings of ${cipher} that cannot be with ${name}`, async () => {
      await theirs.ready();
      const block = cipher === 'chacha20' ? 8 : 16;
      for (const length of [0, block - 8, block + 1, block + 4, 262_144 + block, 0x7fffffff, 0xffffffff]) {
        const keys = keysFor(cipher, 0);
        const bytes = theirs.cipher(keys).sealLength(length);
        assert.throws(() => codec.opener(keys).open(bytes, 0, bytes.length, new Uint32Array(3)), /Bad packet length/);
      }
      const keys = keysFor(cipher, 0);
      const padded = theirs.cipher(keys).sealPadded(Buffer.alloc(4 + block, 255), 255);
      assert.throws(() => codec.opener(keys).open(padded, 0, padded.length, new Uint32Array(3)), /Bad padding length/);
    });
  }
}

test('refuses wrong arguments, and keys that are closed', () => {
  const keys = keysFor('aes-128-gcm', 0);
  const memory = Buffer.alloc(100);
  const table = new Uint32Array(9);
  const sealer = native!.sealer(keys);
  const opener = native!.opener(keys);
  const wrong = { code: 'WRONG_ARGUMENT' };
  for (const bad of [-1, 1.5, Number.NaN, 2 ** 32, '5' as unknown as number, undefined as unknown as number])
    assert.throws(() => sealer.seal(memory, bad, 5), wrong);
  assert.throws(() => sealer.seal({} as Buffer, 0, 5), wrong);
  assert.throws(() => sealer.seal(memory, 0, 80), { code: 'NO_ROOM' });
  assert.throws(() => sealer.seal(memory, 101, 0), { code: 'NO_ROOM' });
  assert.throws(() => sealer.seal(memory, 0, 0xffffffff), { code: 'NO_ROOM' });
  assert.throws(() => sealer.sealData(memory, 10, 9, Buffer.alloc(100), 0, 1, 10), wrong);
  assert.throws(() => sealer.sealData(memory, 0, 101, Buffer.alloc(300), 0, 1, 10), wrong);
  assert.throws(() => sealer.sealData(memory, 0, 10, memory, 50, 1, 10), wrong);
  assert.throws(() => sealer.sealData(memory, 0, 100, Buffer.alloc(300), 0, 1, 0), { code: 'NO_ROOM' });
  assert.throws(() => sealer.sealData(memory, 0, 100, Buffer.alloc(100), 0, 1, 10), { code: 'NO_ROOM' });
  assert.throws(() => opener.open(memory, 0, 101, table), wrong);
  assert.throws(() => opener.open(memory, 9, 8, table), wrong);
  assert.throws(() => opener.open(memory, 0, 100, new Uint32Array(2)), wrong);
  assert.throws(() => opener.open(memory, 0, 100, new Float64Array(9) as unknown as Uint32Array), wrong);
  for (const odd of [
    { cipher: 'aes-128-cbc' },
    { cipher: 'aes-128-gcm and more' },
    { key: Buffer.alloc(15) },
    { iv: Buffer.alloc(16) },
    { iv: Buffer.alloc(0) },
    { cipher: 'chacha20' },
  ])
    assert.throws(() => native!.sealer({ ...keys, ...odd }), /An argument is wrong|OpenSSL refuses/);
  sealer.close();
  sealer.close();
  assert.throws(() => sealer.seal(memory, 0, 5), wrong);
});

function keysFor(cipher: string, sequence: number): Keys {
  return { cipher, key: randomBytes(KEY_BYTES[cipher]!), iv: randomBytes(cipher === 'chacha20' ? 0 : 12), sequence };
}

function dataPacket(): Buffer {
  return Buffer.concat([Buffer.from([94, 0, 0, 0, 1, 0, 0, 0, 30]), randomBytes(30)]);
}

function sealed(sealer: Sealer, payloads: readonly Buffer[]) {
  const memory = Buffer.alloc(1000);
  const starts: number[] = [];
  let end = 0;
  for (const payload of payloads) {
    starts.push(end);
    payload.copy(memory, end + 5);
    end = sealer.seal(memory, end, payload.length);
  }
  return { memory, end, starts };
}

function openAll(opener: Opener, memory: Buffer, from: number, to: number): Buffer[] {
  const table = new Uint32Array(21);
  const payloads: Buffer[] = [];
  for (let at = from; at < to; at = table[0]!) {
    const count = opener.open(memory, at, to, table);
    assert.notEqual(count, 0);
    for (let i = 0; i < count; i++) {
      const start = table[1 + 2 * i]!;
      payloads.push(Buffer.from(memory.subarray(start, start + table[2 + 2 * i]!)));
    }
  }
  return payloads;
}

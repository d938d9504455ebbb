import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { BatchDecipher, type Passage } from '../../../../src/connection/ssh2/packets/decipher.ts';
import { HEADROOM, keepLent, lendShared, sharedMemory } from '../../../../src/net/streams/lent-memory.ts';
import { gcmOpener, gcmSealer } from '../../../../src/connection/ssh2/packets/node-gcm.ts';

const keys = { cipher: 'aes-128-gcm', key: randomBytes(16), iv: randomBytes(12), sequence: 0 };
const PAYLOADS = [
  Buffer.from([94, 0, 0, 0, 1, 0, 0, 0, 3, 97, 98, 99]),
  Buffer.from([94, 0, 0, 0, 2, 0, 0, 0, 0]),
  Buffer.from([80, 1, 2, 3]),
  Buffer.from([94, 0, 0, 0, 1, 0, 0, 0, 1, 100]),
];

const NOTHING_PASSES: Passage = { isCompressed: () => false, take: () => false, mustStop: () => false };

test('passes each payload on once and in order, however the bytes are cut', () => {
  const { length } = sealed();
  for (let first = 0; first <= length; first++) {
    const second = Math.min(length, first + 29);
    const { decipher, payloads } = createDecipher();
    const bytes = sealed();
    for (const [from, to] of [
      [0, first],
      [first, second],
      [second, length],
    ] as const)
      assert.equal(decipher.decrypt(Buffer.from(bytes.subarray(from, to)), 0, to - from), undefined);
    assert.deepEqual(payloads, PAYLOADS, `${first}`);
    assert.equal(decipher.inSeqno, 4);
  }
});

test('reads between two positions, and leaves the bytes around them alone', () => {
  const { decipher, payloads } = createDecipher();
  const around = Buffer.concat([Buffer.from('before'), sealed(), Buffer.from('after')]);
  decipher.decrypt(around, 6, around.length - 5);
  assert.deepEqual(payloads, PAYLOADS);
  assert.deepEqual([String(around.subarray(0, 6)), String(around.subarray(-5))], ['before', 'after']);
});

test('looks at a packet that comes in many pieces twice: for its length, and when it is whole', () => {
  const opener = gcmOpener(keys);
  let looks = 0;
  const payloads: Buffer[] = [];
  const counting = { ...opener, open: (...of: Parameters<typeof opener.open>) => ((looks += 1), opener.open(...of)) };
  const decipher = new BatchDecipher(
    counting,
    0,
    (payload) => void payloads.push(Buffer.from(payload)),
    NOTHING_PASSES,
  );
  const payload = Buffer.alloc(60_000, 'x');
  const memory = Buffer.alloc(60_100);
  payload.copy(memory, 5);
  const end = gcmSealer(keys).seal(memory, 0, payload.length);
  for (let at = 0; at < end; at += 1000)
    assert.equal(
      decipher.decrypt(Buffer.from(memory.subarray(at, Math.min(end, at + 1000))), 0, Math.min(1000, end - at)),
      undefined,
    );
  assert.deepEqual(payloads, [payload]);
  // The last look finds nothing behind it.
  assert.equal(looks, 3);
});

test('stops where it is told to, and goes on from there', () => {
  for (const cut of [0, 7, 40]) {
    const { decipher, payloads } = createDecipher((payload) => (payload[0] === 80 ? false : undefined));
    const bytes = sealed();
    decipher.decrypt(Buffer.from(bytes.subarray(0, cut)), 0, cut);
    const rest = Buffer.concat([Buffer.from('..'), bytes.subarray(cut)]);
    const at = decipher.decrypt(rest, 2, rest.length)!;
    assert.deepEqual(payloads, PAYLOADS.slice(0, 3), `${cut}`);
    assert.equal(decipher.decrypt(rest, at, rest.length), undefined);
    assert.deepEqual(payloads, PAYLOADS, `${cut}`);
  }
});

test('opens nothing behind a packet that stops it when packets are compressed, whatever its first byte', () => {
  const { decipher, payloads } = createDecipher((payload) => (payload.equals(PAYLOADS[0]!) ? false : undefined), true);
  const bytes = sealed();
  const behind = Buffer.from(bytes);
  const at = decipher.decrypt(bytes, 0, bytes.length)!;
  assert.deepEqual(payloads, PAYLOADS.slice(0, 1));
  assert.deepEqual(bytes.subarray(at), behind.subarray(at));
  assert.equal(decipher.decrypt(bytes, at, bytes.length), undefined);
  assert.deepEqual(payloads, PAYLOADS);
});

test('stops at a position that a handler names', () => {
  const { decipher } = createDecipher((payload) => (payload[0] === 80 ? 12 : undefined));
  assert.equal(decipher.decrypt(sealed(), 0, sealed().length), 12);
});

test('asks the handler of the moment for each payload', () => {
  const { decipher, payloads } = createDecipher((payload) => {
    if (payload[0] === 80) decipher._onPayload = (next) => others.push(Buffer.from(next));
  });
  const others: Buffer[] = [];
  decipher._onPayload = (
    (first) => (payload: Buffer) =>
      void first(payload)
  )(decipher._onPayload);
  decipher.decrypt(sealed(), 0, sealed().length);
  assert.deepEqual([payloads.length, others.length], [3, 1]);
});

test('passes on what was whole before it throws', () => {
  const { decipher, payloads } = createDecipher();
  const bytes = sealed();
  bytes[bytes.length - 1]! ^= 1;
  assert.throws(() => decipher.decrypt(bytes, 0, bytes.length));
  assert.deepEqual(payloads, PAYLOADS.slice(0, 3));
});

test('has data go past the parser where it may, and all else through it', () => {
  const taken: [number, string][] = [];
  const take: Passage['take'] = (ours, memory, start, end) =>
    ours !== 3 && taken.push([ours, String(memory.subarray(start, end))]) > 0;
  const notTaken = [
    // Without data, more than it says, less than it says, of a channel that takes none, and another message.
    PAYLOADS[1]!,
    Buffer.from([94, 0, 0, 0, 1, 0, 0, 0, 1, 97, 98]),
    Buffer.from([94, 0, 0, 0, 1, 0, 0, 0, 9, 97]),
    Buffer.from([94, 0, 0, 0, 3, 0, 0, 0, 1, 97]),
    PAYLOADS[2]!,
  ];
  const { decipher, payloads } = createDecipher(undefined, false, { take });
  lend(sealed([PAYLOADS[0]!, ...notTaken, PAYLOADS[3]!]), (...lent) => decipher.decrypt(...lent));
  assert.deepEqual(taken, [
    [1, 'abc'],
    [1, 'd'],
  ]);
  assert.deepEqual(payloads, notTaken);
  assert.equal(decipher.inSeqno, 7);
});

test('stops behind data that went past the parser where it must, and goes on from there', () => {
  const asked: number[] = [];
  const mustStop: Passage['mustStop'] = (packets) => asked.push(packets) === 1;
  const { decipher, payloads } = createDecipher(undefined, false, { take: () => true, mustStop });
  const bytes = sealed();
  let at: number | undefined;
  lend(bytes, (memory, start, end) => {
    at = decipher.decrypt(memory, start, end);
    assert.equal(payloads.length, 2);
    assert.equal(decipher.decrypt(memory, at!, end), undefined);
  });
  assert.ok(at! < HEADROOM + bytes.length);
  // The empty one and the other message come through the parser.
  assert.deepEqual([asked, payloads.length], [[1, 1], 2]);
});

test('has nothing go past the parser that is not lent, or not any more, or compressed', () => {
  const take = () => assert.fail('it takes what it may not');
  const { decipher, payloads } = createDecipher(undefined, false, { take });
  decipher.decrypt(sealed(), 0, sealed().length);
  assert.deepEqual(payloads, PAYLOADS);
  const kept = createDecipher(undefined, false, { take });
  lend(sealed(), (memory, start, end) => {
    keepLent()();
    kept.decipher.decrypt(memory, start, end);
  });
  assert.deepEqual(kept.payloads, PAYLOADS);
  const compressed = createDecipher(undefined, true, { take });
  lend(sealed(), (memory, start, end) => compressed.decipher.decrypt(memory, start, end));
  assert.deepEqual(compressed.payloads, PAYLOADS);
});

test('forgets its key when it is freed, by a handler behind all that this one has stopped, and opens nothing any more', () => {
  const opener = gcmOpener(keys);
  let closed = 0;
  const seen: number[] = [];
  const decipher: BatchDecipher = new BatchDecipher(
    { ...opener, close: () => (closed += 1) },
    0,
    (payload) => {
      if (seen.push(closed) === 1) {
        decipher.free();
        assert.equal(decipher.decrypt(sealed(), 0, sealed().length), undefined);
      }
      if (payload[0] === 80) throw new Error('a bug');
    },
    NOTHING_PASSES,
  );
  assert.throws(() => decipher.decrypt(sealed(), 0, sealed().length), /a bug/);
  // What was opened with the first is passed on.
  assert.deepEqual([seen, closed], [[0, 0, 0], 1]);
  assert.equal(decipher.decrypt(sealed(), 0, sealed().length), undefined);
  const unused = new BatchDecipher({ ...opener, close: () => (closed += 1) }, 0, () => {}, NOTHING_PASSES);
  unused.free();
  assert.deepEqual([seen.length, closed], [3, 2]);
});

/** Lends the bytes as if a socket had read them. */
function lend(bytes: Buffer, take: (memory: Buffer, start: number, end: number) => void): void {
  bytes.copy(sharedMemory(), HEADROOM);
  lendShared(bytes.length, take, {
    destroy: (error) => {
      throw error;
    },
  });
}

function sealed(all: readonly Buffer[] = PAYLOADS): Buffer {
  const memory = Buffer.alloc(1000);
  const sealer = gcmSealer({ ...keys, iv: Buffer.from(keys.iv) });
  let end = 0;
  for (const payload of all) {
    payload.copy(memory, end + 5);
    end = sealer.seal(memory, end, payload.length);
  }
  return memory.subarray(0, end);
}

function createDecipher(
  answer: (payload: Buffer) => unknown = () => {},
  isCompressed = false,
  passage: Partial<Passage> = {},
) {
  const payloads: Buffer[] = [];
  const decipher: BatchDecipher = new BatchDecipher(
    gcmOpener(keys),
    0,
    (payload) => {
      payloads.push(Buffer.from(payload));
      return answer(payload);
    },
    { ...NOTHING_PASSES, isCompressed: () => isCompressed, ...passage },
  );
  return { decipher, payloads };
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BatchCipher } from '../../../../src/connection/ssh2/packets/cipher.ts';
import type { Sealer } from '../../../../src/lib/addon.ts';
import { nativeCodec } from '../../../../src/connection/ssh2/packets/native.ts';
import { gcmOpener, gcmSealer } from '../../../../src/connection/ssh2/packets/node-gcm.ts';

test('writes the packets of one tick at once, in their order', async () => {
  const { cipher, writes } = createCipher();
  send(cipher, 'a');
  cipher.sendData(Buffer.from('xxdatayy'), 2, 6, 7, 3);
  send(cipher, 'b');
  assert.deepEqual(writes, []);
  await turn();
  assert.deepEqual(writes, ['<a><7:dat><7:a><b>']);
  send(cipher, 'c');
  await turn();
  assert.deepEqual(writes.slice(1), ['<c>']);
  assert.equal(cipher.outSeqno, 5 + 5);
});

test('writes what comes first in an iteration of the event loop behind its tick, and all else at the end', async () => {
  const { cipher, writes } = createCipher();
  const tick = () => new Promise<void>((resolve) => process.nextTick(resolve));
  for (let iteration = 0; iteration < 3; iteration += 1) {
    await turn();
    writes.length = 0;
    send(cipher, 'a');
    await tick();
    assert.deepEqual(writes, ['<a>']);
    for (const payload of ['b', 'c']) {
      send(cipher, payload);
      cipher.flushFirst();
      await tick();
    }
    assert.deepEqual(writes, ['<a>']);
    await turn();
    assert.deepEqual(writes, ['<a>', '<b><c>']);
  }
  await turn();
  send(cipher, 'd');
  cipher.flushFirst();
  send(cipher, 'e');
  cipher.flush();
  assert.deepEqual(writes.slice(2), ['<d>', '<e>']);
});

test('writes behind each tick while there is much to write', async () => {
  const { cipher, writes } = createCipher();
  const much = 'x'.repeat(10_000);
  await turn();
  for (const payload of [much, much, 'a', 'b']) {
    send(cipher, payload);
    await new Promise<void>((resolve) => process.nextTick(resolve));
  }
  assert.deepEqual(writes, [`<${much}>`, `<${much}>`, '<a>']);
  await turn();
  assert.deepEqual(writes.slice(3), ['<b>']);
});

test('sends a packet that was begun before another one, and lets one go that is never sent', async () => {
  const { cipher, writes } = createCipher();
  const first = packetOf(cipher, 'first');
  send(cipher, 'second');
  cipher.encrypt(first);
  packetOf(cipher, 'never');
  send(cipher, 'third');
  await turn();
  assert.equal(writes.join(''), '<second><first><third>');
});

test('writes before the memory is full, and what is larger than all of it', async () => {
  const { cipher, writes } = createCipher();
  const large = 'x'.repeat(200_000);
  const larger = 'y'.repeat(500_000);
  for (const payload of [large, large, larger, 'z']) send(cipher, payload);
  cipher.sendData(Buffer.from(larger), 0, larger.length, 1, 32_768);
  await turn();
  const all = writes.join('');
  assert.ok(all.startsWith(`<${large}><${large}><${larger}><z><1:`));
  assert.equal(all.slice(all.indexOf('<1:')).replaceAll(/<1:|>/g, ''), larger);
  assert.ok(writes.length > 2);
});

for (const [name, sealer, opener] of [
  ['the addon', nativeCodec()!.sealer, nativeCodec()!.opener],
  ['node:crypto', gcmSealer, gcmOpener],
] as const)
  test(`sends no packet above what any side accepts when the server names more, by ${name}`, async () => {
    const keys = { cipher: 'aes-128-gcm', key: Buffer.alloc(16, 1), iv: Buffer.alloc(12, 2), sequence: 7 };
    const writes: Buffer[] = [];
    const cipher = new BatchCipher(sealer(keys), 7, (memory, end) => {
      writes.push(Buffer.from(memory.subarray(0, end)));
      return true;
    });
    const data = Buffer.alloc(600_000, 'data');
    cipher.sendData(data, 0, data.length, 1, data.length);
    await turn();
    const sent = Buffer.concat(writes);
    const table = new Uint32Array(1 + 2 * 16);
    const count = opener(keys).open(sent, 0, sent.length, table);
    const places = [...Array(count).keys()].map((i) => [table[1 + 2 * i]! + 9, table[1 + 2 * i]! + table[2 + 2 * i]!]);
    assert.ok(Buffer.concat(places.map(([start, end]) => sent.subarray(start, end))).equals(data));
    assert.deepEqual([table[0], cipher.outSeqno], [sent.length, 7 + count]);
  });

test('leaves memory alone until the write is done', async () => {
  const held: { readonly packets: Buffer; readonly written: () => void }[] = [];
  const cipher = new BatchCipher(sealerOfText(), 0, (memory, end, written) => {
    held.push({ packets: memory.subarray(0, end), written });
    return false;
  });
  const texts = ['one', 'two', 'three'].map((text) => text.repeat(2000));
  for (const text of texts) {
    send(cipher, text);
    await turn();
  }
  assert.deepEqual(
    held.map(({ packets }) => textOf(packets)),
    texts.map((text) => `<${text}>`),
  );
  assert.equal(new Set(held.map(({ packets }) => packets.buffer)).size, 3);
  held[0]!.written();
  send(cipher, 'four'.repeat(2000));
  await turn();
  assert.equal(held[3]!.packets.buffer, held[0]!.packets.buffer);
  assert.deepEqual(textOf(held[1]!.packets), `<${texts[1]}>`);
});

test('writes what was sealed before its key goes, and nothing after that', async () => {
  const { cipher, writes, closed } = createCipher();
  send(cipher, 'last');
  cipher.free();
  assert.deepEqual([writes, closed()], [['<last>'], true]);
  send(cipher, 'lost');
  cipher.sendData(Buffer.from('lost'), 0, 4, 1, 4);
  await turn();
  assert.deepEqual(writes, ['<last>']);
});

function createCipher() {
  const writes: string[] = [];
  let closed = false;
  const sealer = { ...sealerOfText(), close: () => (closed = true) };
  const cipher = new BatchCipher(sealer, 5, (memory, end) => {
    writes.push(textOf(memory.subarray(0, end)));
    return true;
  });
  return { cipher, writes, closed: () => closed };
}

/** Seals to text: the payload in angle brackets, which take the places of a packet's length and tag. */
function sealerOfText(): Sealer {
  const seal = (memory: Buffer, at: number, length: number): number => {
    memory.fill(0, at, at + 4);
    memory.write('<', at + 4);
    memory.write('>', at + 5 + length);
    return at + 6 + length;
  };
  return {
    seal,
    sealData: (from, start, end, memory, at, channel, largest) => {
      for (let some = start; some < end; some += largest) {
        const payload = `${channel}:${from.toString('latin1', some, Math.min(end, some + largest))}`;
        memory.write(payload, at + 5);
        at = seal(memory, at, payload.length);
      }
      return at;
    },
    close: () => {},
  };
}

function textOf(packets: Buffer): string {
  return packets.toString('latin1').replaceAll('\0', '');
}

function packetOf(cipher: BatchCipher, payload: string): Buffer {
  const packet = cipher.allocPacket(payload.length);
  packet.write(payload, 5);
  return packet;
}

function send(cipher: BatchCipher, payload: string): void {
  cipher.encrypt(packetOf(cipher, payload));
}

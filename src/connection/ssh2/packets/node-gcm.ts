import { createCipheriv, createDecipheriv, createSecretKey, type CipherGCMTypes, type KeyObject } from 'node:crypto';
import type { Opener, Sealer } from '../../../lib/addon.ts';
import { freeBuffer } from '../../../lib/free-buffer.ts';
import { createRandom } from './random.ts';
import { CHANNEL_DATA, DATA_HEADER, type Keys } from './codec.ts';

/** AES-GCM (RFC 5647) by node:crypto, for machines without the addon. */
export function gcmSealer(keys: Keys): Sealer {
  const next = sequenceOf(keys);
  const random = createRandom();
  const seal = (memory: Buffer, at: number, length: number): number => {
    const padding = paddingOf(length);
    const end = at + 5 + length + padding;
    memory.writeUInt32BE(1 + length + padding, at);
    memory[at + 4] = padding;
    random(memory, end - padding, padding);
    const one = createCipheriv(next.cipher, next.key, next.iv());
    one.setAAD(memory.subarray(at, at + 4));
    putInPlace(one.update(memory.subarray(at + 4, end)), memory, at + 4);
    one.final();
    memory.set(one.getAuthTag(), end);
    return end + TAG;
  };
  return {
    seal,
    sealData: (from, start, end, memory, at, channel, largest) => {
      for (let some = start; some < end; some += largest) {
        const size = Math.min(largest, end - some);
        memory[at + 5] = CHANNEL_DATA;
        memory.writeUInt32BE(channel, at + 6);
        memory.writeUInt32BE(size, at + 10);
        from.copy(memory, at + 5 + DATA_HEADER, some, some + size);
        at = seal(memory, at, DATA_HEADER + size);
      }
      return at;
    },
    close: () => {},
  };
}

export function gcmOpener(keys: Keys): Opener {
  const next = sequenceOf(keys);
  const openOne = (memory: Buffer, at: number, length: number) => {
    const one = createDecipheriv(next.cipher, next.key, next.iv());
    one.setAAD(memory.subarray(at, at + 4));
    one.setAuthTag(memory.subarray(at + 4 + length, at + 4 + length + TAG));
    putInPlace(one.update(memory.subarray(at + 4, at + 4 + length)), memory, at + 4);
    one.final();
    if (memory[at + 4]! >= length) throw new Error('Bad padding length');
  };
  let wrong: Error | null = null;
  return {
    open: (memory, from, to, table) => {
      let at = from;
      let count = 0;
      let wanted = 0;
      for (let more = true; more && wrong === null && 2 * count + 2 < table.length && to - at >= 4;) {
        const length = memory.readUInt32BE(at);
        try {
          if (length < BLOCK || length > MAX_LENGTH || length % BLOCK !== 0) throw new Error('Bad packet length');
          if (to - at - 4 < length + TAG) {
            wanted = 4 + length + TAG;
            break;
          }
          openOne(memory, at, length);
        } catch (error) {
          wrong = error as Error;
          break;
        }
        const size = length - 1 - memory[at + 4]!;
        table[1 + 2 * count] = at + 5;
        table[2 + 2 * count] = size;
        count += 1;
        more = size > 0 && memory[at + 5] === CHANNEL_DATA;
        at += 4 + length + TAG;
      }
      if (wrong !== null && count === 0) throw wrong;
      table[0] = at;
      if (count === 0) table[1] = wanted;
      return count;
    },
    close: () => {},
  };
}

/** What node:crypto gives is in memory of its own. */
function putInPlace(bytes: Buffer, memory: Buffer, at: number): void {
  memory.set(bytes, at);
  freeBuffer(bytes);
}

const TAG = 16;
const BLOCK = 16;
/** As packets.c and OpenSSH (PACKET_MAX_SIZE). */
const MAX_LENGTH = 256 * 1024;

function paddingOf(payload: number): number {
  const padding = BLOCK - ((1 + payload) % BLOCK);
  return padding < 4 ? padding + BLOCK : padding;
}

/** The key, and for each packet the next IV: its last 8 bytes count (RFC 5647 section 7.1). */
function sequenceOf({ cipher, key, iv: first }: Keys) {
  const secret: KeyObject = createSecretKey(key);
  const iv = Buffer.from(first);
  const given = Buffer.alloc(iv.length);
  return {
    cipher: cipher as CipherGCMTypes,
    key: secret,
    iv: () => {
      given.set(iv);
      for (let i = 11; i >= 4; i -= 1) {
        iv[i] = (iv[i]! + 1) & 255;
        if (iv[i] !== 0) break;
      }
      return given;
    },
  };
}

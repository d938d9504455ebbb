import { createCipheriv } from 'node:crypto';
import type { Keys } from '../../../../src/connection/ssh2/packets/codec.ts';

/** ssh2's own packets, to compare with. */
export function createTheirs(ssh2: Ssh2Crypto) {
  return {
    /** Its WebAssembly, which ChaCha20 needs. */
    ready: async () => {
      await ssh2.init;
    },
    cipher: (keys: Keys) => createReference(ssh2, keys),
  };
}

interface Ssh2Crypto {
  readonly init: Promise<void>;
  readonly CIPHER_INFO: Readonly<Record<string, object>>;
  createCipher(config: object): { allocPacket(payload: number): Buffer; encrypt(packet: Buffer): void };
}

const NAMES: Readonly<Record<string, string>> = {
  'aes-128-gcm': 'aes128-gcm@openssh.com',
  'aes-256-gcm': 'aes256-gcm@openssh.com',
  chacha20: 'chacha20-poly1305@openssh.com',
};

function createReference(ssh2: Ssh2Crypto, keys: Keys) {
  const { cipher: name, key, iv, sequence } = keys;
  const written: Buffer[] = [];
  const cipher = ssh2.createCipher({
    outbound: {
      onWrite: (bytes: Buffer) => written.push(Buffer.from(bytes)),
      seqno: sequence,
      cipherInfo: ssh2.CIPHER_INFO[NAMES[name]!],
      cipherKey: Buffer.from(key),
      cipherIV: Buffer.from(iv),
    },
  });
  const seal = (packet: Buffer): Buffer => {
    cipher.encrypt(packet);
    return Buffer.concat(written.splice(0));
  };
  return {
    /** A whole packet without its tag; its length may still be encrypted. */
    seal: (bytes: Buffer) => {
      const packet = Buffer.from(bytes);
      packet.writeUInt32BE(packet.length - 4);
      return seal(packet);
    },
    sealPayload: (payload: Buffer) => {
      const packet = cipher.allocPacket(payload.length);
      payload.copy(packet, 5);
      return seal(packet);
    },
    /** The bytes as they are, behind a length of padding. */
    sealPadded: (bytes: Buffer, padding: number) => {
      const packet = Buffer.from(bytes);
      packet.writeUInt32BE(packet.length - 4);
      packet[4] = padding;
      return seal(packet);
    },
    /** The first bytes of a packet of that length. */
    sealLength: (length: number) => {
      const bytes = Buffer.alloc(64);
      bytes.writeUInt32BE(length);
      if (name !== 'chacha20') return bytes;
      const nonce = Buffer.alloc(16);
      nonce.writeUInt32BE(sequence, 12);
      const plain = Buffer.from(bytes.subarray(0, 4));
      createCipheriv('chacha20', key.subarray(32), nonce).update(plain).copy(bytes);
      return bytes;
    },
  };
}

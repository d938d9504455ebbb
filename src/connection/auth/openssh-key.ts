import { randomBytes } from 'node:crypto';
import { orElse } from '../../lib/or-else.ts';
import { WireReader } from '../ssh/wire-reader.ts';
import { sshString, uint32 } from '../ssh/wire-writer.ts';

/** The unencrypted header of an OpenSSH private key file (PROTOCOL.key in OpenSSH's sources). */
export interface OpensshKeyHeader {
  readonly cipher: string;
  /** `none` where the key is not encrypted. */
  readonly kdf: string;
  /** Rounds of bcrypt: each takes 15 ms on a PC. 0 where the key is not encrypted. */
  readonly rounds: number;
  readonly keyType: string;
  readonly publicBlob: Buffer;
}

/** Reads the header from the decoded body; null where it is damaged, or holds another number of keys than one. */
export function readOpensshKeyHeader(body: Buffer): OpensshKeyHeader | null {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  return orElse(() => {
    const reader = new WireReader(body.subarray(MAGIC.length));
    const [cipher, kdf, kdfOptions] = [reader.text(), reader.text(), reader.string()];
    if (reader.uint32() !== 1) return null;
    const publicBlob = reader.string();
    const keyType = new WireReader(publicBlob).text();
    return { cipher, kdf, rounds: roundsIn(kdfOptions), keyType, publicBlob };
  }, null);
}

/** The options of bcrypt: a salt, and how many rounds. */
function roundsIn(options: Buffer): number {
  const reader = new WireReader(options);
  return orElse(() => {
    reader.string();
    return reader.uint32();
  }, 0);
}

/** Writes an unencrypted OpenSSH private key file from the two halves of an Ed25519 key, 32 bytes each. */
export function encodeEd25519(seed: Buffer, publicKey: Buffer, comment = ''): string {
  const type = sshString('ssh-ed25519');
  const check = randomBytes(4); // twice the same number shows that a decryption succeeded
  const secret = Buffer.concat([
    check,
    check,
    type,
    sshString(publicKey),
    sshString(Buffer.concat([seed, publicKey])),
    sshString(comment),
  ]);
  const body = Buffer.concat([
    MAGIC,
    sshString('none'), // cipher
    sshString('none'), // key derivation
    sshString(Buffer.alloc(0)), // and its options
    uint32(1), // number of keys
    sshString(Buffer.concat([type, sshString(publicKey)])),
    sshString(pad(secret)),
  ]);
  const lines = body.toString('base64').replace(/.{70}/g, '$&\n');
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

const MAGIC = Buffer.from('openssh-key-v1\0');

/** 1, 2, 3, … up to the block size of the cipher `none`, 8 bytes. */
function pad(secret: Buffer): Buffer {
  const count = (8 - (secret.length % 8)) % 8;
  return Buffer.concat([secret, Buffer.from(Array.from({ length: count }, (_, index) => index + 1))]);
}

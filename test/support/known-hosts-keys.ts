import { createHash } from 'node:crypto';

/** A public key blob that OpenSSH takes for a real one; equal names give equal keys. */
export function testKey(type: 'ssh-ed25519' | 'ssh-rsa', name: string): Buffer {
  const digest = createHash('sha512').update(name).digest();
  if (type === 'ssh-ed25519') return sshStrings(type, digest.subarray(0, 32));
  // An odd modulus of 2048 bits; the leading zero keeps it positive (RFC 4251 section 5).
  const modulus = Buffer.concat([
    Buffer.from([0, 0x80]),
    digest,
    digest,
    digest,
    digest.subarray(0, 62),
    Buffer.from([1]),
  ]);
  return sshStrings(type, Buffer.from([1, 0, 1]), modulus);
}

/** SSH strings one after another: RFC 4251 section 5. */
export function sshStrings(...fields: readonly (string | Buffer)[]): Buffer {
  const parts = fields.flatMap((field) => {
    const bytes = Buffer.from(field);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts);
}

/** `ssh-ed25519 AAAA…`, as it stands in a line. */
export function keyText(key: Buffer): string {
  return `${key.subarray(4, 4 + key.readUInt32BE(0)).toString()} ${key.toString('base64')}`;
}

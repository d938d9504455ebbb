/** A string of RFC 4251 section 5. */
export function sshString(bytes: Buffer | string): Buffer {
  const content = Buffer.from(bytes);
  return Buffer.concat([uint32(content.length), content]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The bytes of a positive mpint (RFC 4251 section 5), or INTEGER of DER: no leading zeros, but for one where the first bit is set. */
export function mpint(bytes: Buffer): Buffer {
  const digits = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
  return (digits[0] ?? 0x80) < 0x80 ? digits : Buffer.concat([Buffer.alloc(1), digits]);
}

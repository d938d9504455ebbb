import { randomBytes } from 'node:crypto';
import type { Power } from './modular-power.ts';
import type { Group } from '../protocol/internals.ts';
import { preparedSecret } from './prepared-secret.ts';

/**
 * Opens a group of finite-field Diffie-Hellman (RFC 4253 section 8, RFC 4419) by OpenSSH's rules, as the server sent it
 * (two mpints of RFC 4251 section 5). Rejects where its size was not requested, or where its numbers cannot be those of
 * a group. ssh2 computes it on the main thread, which takes a small computer up to a third of a second for 8192 bits;
 * and it lets OpenSSL test whether the prime of a server's group is one, from 0.2 s for 2048 bits to half a minute for
 * 8192, before the host key is verified. OpenSSH makes no such test: a bad group harms only the server that chose and
 * signs it.
 */
export async function openGroup(
  sentPrime: Buffer,
  sentGenerator: Buffer,
  minBits: number,
  maxBits: number,
  power: Power,
): Promise<Group> {
  const [prime, generator] = [Buffer.from(sentPrime), Buffer.from(sentGenerator)]; // the message is a view of a larger buffer
  const modulus = positive(prime, 'prime', maxBits);
  const size = modulus.toString(2).length;
  if (size < minBits || size > maxBits)
    throw new Error(`the server's Diffie-Hellman group has ${size} bits, and ${minBits} to ${maxBits} were requested`);
  if (modulus % 2n === 0n) throw new Error("the server's Diffie-Hellman group is invalid: its prime is even");
  check(positive(generator, 'generator', maxBits), modulus, 'generator');
  const exponent = randomBytes(EXPONENT_BYTES);
  const ours = await power(generator, exponent, prime);
  check(numberOf(ours), modulus, 'generator');
  const secretWith = async (theirs: Buffer): Promise<Buffer> => {
    const value = positive(theirs, 'public number', maxBits);
    check(value, modulus, 'public number');
    if (value.toString(2).replaceAll('0', '').length < MIN_BITS_SET)
      throw new Error("the server's public number is too easy to guess");
    const found = await power(theirs, exponent, prime);
    check(numberOf(found), modulus, 'public number');
    return found;
  };
  return {
    getPrime: () => prime,
    getGenerator: () => generator,
    generateKeys: () => ours,
    ...preparedSecret(secretWith),
  };
}

/** Twice the 256 bits of the strongest key derived from it (RFC 4419 section 6.2), as in OpenSSH (dh.c, dh_gen_key). */
const EXPONENT_BYTES = 64;

/** OpenSSH's dh.c, dh_pub_is_valid. */
const MIN_BITS_SET = 4;

function positive(bytes: Buffer, what: string, maxBits: number): bigint {
  // One byte more than the digits, for the sign.
  if (bytes.length > maxBits / 8 + 1) throw new Error(`the server's Diffie-Hellman ${what} is too long`);
  if ((bytes[0] ?? 0) >= 0x80) throw new Error(`the server's Diffie-Hellman ${what} is negative`);
  return numberOf(bytes);
}

/** 0, 1 and -1 generate nothing, and make a secret that is known to all. */
function check(value: bigint, modulus: bigint, what: string): void {
  if (value <= 1n || value >= modulus - 1n) throw new Error(`the server's Diffie-Hellman ${what} is out of range`);
}

function numberOf(bytes: Buffer): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString('hex')}`);
}

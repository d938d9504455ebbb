import { randomBytes } from 'node:crypto';
import type { Client } from 'ssh2';
import { modularPower } from './modular-power.ts';

/**
 * Makes ssh2's group exchange (RFC 4419) bearable: it has OpenSSL test whether the server's number is prime, on the main thread, which
 * takes from 0.2 s for 2048 bits to half a minute for 8192, before the host key is judged. OpenSSH does not test it either: a bad
 * group harms nobody but the server that chose it and signs it. To be called right after client.connect().
 */
export function boundGroupExchange(client: Client): void {
  const { _protocol: protocol } = client as unknown as { readonly _protocol: Protocol };
  protocol.openGroup = openGroup;
}

/** Of ssh2's Protocol, what its key exchange asks for the place of crypto.createDiffieHellman. */
interface Protocol {
  openGroup: typeof openGroup;
}

/** What ssh2 uses of Node's DiffieHellman. All numbers are big-endian. */
export interface Group {
  getPrime(): Buffer;
  getGenerator(): Buffer;
  /** Our public number, e. */
  generateKeys(): Buffer;
  /** The shared secret, from the server's public number, f. Throws where f or the secret gives the secret away. */
  computeSecret(theirs: Buffer): Buffer;
}

/**
 * A group as the server sent it (two mpints of RFC 4251 section 5). Throws where its size is none that was asked for, or where its
 * numbers cannot be those of a group.
 */
export function openGroup(sentPrime: Buffer, sentGenerator: Buffer, minBits: number, maxBits: number): Group {
  const [prime, generator] = [Buffer.from(sentPrime), Buffer.from(sentGenerator)]; // what came is part of a larger buffer
  const modulus = positive(prime, 'prime', maxBits);
  const size = modulus.toString(2).length;
  if (size < minBits || size > maxBits)
    throw new Error(`the server's Diffie-Hellman group has ${size} bits, and ${minBits} to ${maxBits} were asked for`);
  if (modulus % 2n === 0n) throw new Error("the server's Diffie-Hellman group is none: its prime is even");
  check(positive(generator, 'generator', maxBits), modulus, 'generator');
  const exponent = randomBytes(EXPONENT_BYTES);
  const ours = modularPower(generator, exponent, prime);
  check(numberOf(ours), modulus, 'generator');
  return {
    getPrime: () => prime,
    getGenerator: () => generator,
    generateKeys: () => ours,
    computeSecret: (theirs) => {
      const value = positive(theirs, 'public number', maxBits);
      check(value, modulus, 'public number');
      if (value.toString(2).replaceAll('0', '').length < MIN_BITS_SET)
        throw new Error("the server's public number is too easy to guess");
      const secret = modularPower(theirs, exponent, prime);
      check(numberOf(secret), modulus, 'public number');
      return secret;
    },
  };
}

/** Twice the 256 bits of the strongest key that is made of it (RFC 4419 section 6.2), as OpenSSH does (dh.c, dh_gen_key). */
const EXPONENT_BYTES = 64;

/** dh.c of OpenSSH, dh_pub_is_valid. */
const MIN_BITS_SET = 4;

function positive(bytes: Buffer, what: string, maxBits: number): bigint {
  // One byte more than its digits, for the sign.
  if (bytes.length > maxBits / 8 + 1) throw new Error(`the server's Diffie-Hellman ${what} is too long`);
  if ((bytes[0] ?? 0) >= 0x80) throw new Error(`the server's Diffie-Hellman ${what} is negative`);
  return numberOf(bytes);
}

/** 0, 1 and -1 generate nothing, and make a secret that anybody knows. */
function check(value: bigint, modulus: bigint, what: string): void {
  if (value <= 1n || value >= modulus - 1n) throw new Error(`the server's Diffie-Hellman ${what} is out of range`);
}

function numberOf(bytes: Buffer): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString('hex')}`);
}

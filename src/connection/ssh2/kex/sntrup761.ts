import { createHash, timingSafeEqual } from 'node:crypto';
import { sortInConstantTime } from './constant-time-sort.ts';
import { decodeMixedRadix, encodeMixedRadix } from './mixed-radix.ts';
import { inverseModulo3 } from './inverse-modulo-3.ts';
import { centered, inverseOfThrice, multiply, P, Q, type Polynomial } from './small-ring.ts';

/**
 * Streamlined NTRU Prime sntrup761, a key encapsulation mechanism (NTRU Prime: round 3, 2020;
 * draft-josefsson-ntruprime-streamlined), of which a client makes the key pair and opens what the server sealed to it. A
 * key pair is used once. Nothing branches on a secret. The generators yield where they may be interrupted.
 */

export interface KeyPair {
  /** As encoded by the specification. */
  readonly publicKey: Buffer;
  readonly f: Polynomial;
  /** 1 / g modulo 3. */
  readonly inverse: Polynomial;
  /** From this comes the secret of a ciphertext that was not sealed to the key: SMALL_BYTES by chance. */
  readonly unfit: Buffer;
}

/** Fills a buffer of so many bytes by chance. */
type RandomBytes = (length: number) => Buffer;

export function* generateKeyPair(random: RandomBytes): Generator<undefined, KeyPair> {
  let [g, inverse]: [Polynomial, Polynomial | null] = [randomSmall(random), null];
  while ((inverse = yield* inverseModulo3(g)) === null) g = randomSmall(random);
  const f = yield* randomShort(random);
  return { publicKey: yield* publicKeyOf(f, g), f, inverse, unfit: random(SMALL_BYTES) };
}

/** g / (3f) */
export function* publicKeyOf(f: Polynomial, g: Polynomial): Generator<undefined, Buffer> {
  const h = yield* multiply(yield* inverseOfThrice(f), g, Q);
  return encodeMixedRadix(
    Array.from(h, (x) => x + HALF_Q),
    MODULI,
  );
}

/**
 * The 32 bytes that were sealed; for a ciphertext that was not sealed to this key some that look random, because an
 * attacker must not learn which it was. Throws for a ciphertext of another length.
 */
export function* decapsulate(key: KeyPair, ciphertext: Buffer): Generator<undefined, Buffer> {
  if (ciphertext.length !== CIPHERTEXT_BYTES) throw new Error(`a sntrup761 ciphertext has ${ciphertext.length} bytes`);
  const { publicKey, f, inverse, unfit } = key;
  const rounded = Int32Array.from(decodeMixedRadix(ciphertext, ROUNDED_MODULI), (x) => 3 * x - HALF_Q);
  const error = (yield* multiply(rounded, f, Q)).map((x) => centered(centered(3 * x, Q), 3));
  const r = ofWeight(yield* multiply(error, inverse, 3));
  const again = yield* seal(publicKey, r);
  const matches = Number(timingSafeEqual(again, ciphertext));
  const encoded = encodeSmall(r);
  const sealed = Buffer.from(encoded.map((byte, i) => byte ^ ((byte ^ unfit[i]!) & (matches - 1))));
  return secretOf(matches, sealed, ciphertext);
}

/** The ciphertext of `r`. */
export function* seal(publicKey: Buffer, r: Polynomial): Generator<undefined, Buffer> {
  const h = Int32Array.from(decodeMixedRadix(publicKey, MODULI), (x) => x - HALF_Q);
  const rounded = Array.from(yield* multiply(h, r, Q), (x) => (x - centered(x, 3) + HALF_Q) / 3);
  return Buffer.concat([
    encodeMixedRadix(rounded, ROUNDED_MODULI),
    hash(2, hash(3, encodeSmall(r)), hash(4, publicKey)),
  ]);
}

/** The secret of a ciphertext that seals the encoded polynomial `sealed`; `matches` is 0 where it was not sealed so. */
export function secretOf(matches: number, sealed: Buffer, ciphertext: Buffer): Buffer {
  return hash(matches, hash(3, sealed), ciphertext);
}

function hash(prefix: number, ...parts: readonly Buffer[]): Buffer {
  const digest = createHash('sha512').update(Buffer.of(prefix));
  for (const part of parts) digest.update(part);
  return digest.digest().subarray(0, 32);
}

/** As many coefficients of a short polynomial are not 0. */
const WEIGHT = 286;

const HALF_Q = (Q - 1) / 2;
const SMALL_BYTES = 191;
export const PUBLIC_KEY_BYTES = 1158;
export const CIPHERTEXT_BYTES = 1007 + 32;

const MODULI = Array.from({ length: P }, () => Q);
const ROUNDED_MODULI = Array.from({ length: P }, () => (Q + 2) / 3);

/** The polynomial itself if it has the weight of a short one, else one that has. */
function ofWeight(r: Polynomial): Polynomial {
  const weight = r.reduce((sum, x) => sum + (x & 1), 0);
  const wrong = -Number(weight !== WEIGHT);
  return r.map((x, i) => (x & ~wrong) | (wrong & Number(i < WEIGHT)));
}

function randomSmall(random: RandomBytes): Polynomial {
  const bytes = random(4 * P);
  return Int32Array.from(
    { length: P },
    (_, i) => Math.floor(((bytes.readUInt32LE(4 * i) & MASK_30) * 3) / 2 ** 30) - 1,
  );
}

const MASK_30 = 2 ** 30 - 1;

/** WEIGHT coefficients that are not 0, at places which the order of random numbers determines. */
export function* randomShort(random: RandomBytes): Generator<undefined, Polynomial> {
  const bytes = random(4 * P);
  const keys = Uint32Array.from({ length: P }, (_, i) => {
    const number = bytes.readUInt32LE(4 * i);
    return i < WEIGHT ? number & ~1 : (number & ~3) | 1;
  });
  yield* sortInConstantTime(keys);
  return Int32Array.from(keys, (key) => (key & 3) - 1);
}

/** Four coefficients in a byte, the first in its lowest bits. */
export function encodeSmall(a: Polynomial): Buffer {
  const bytes = Buffer.alloc(SMALL_BYTES);
  for (let i = 0; i < P; i++) bytes[i >> 2]! |= (a[i]! + 1) << (2 * (i & 3));
  return bytes;
}

import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { Clock } from '../../../lib/async/clock.ts';
import { deadline } from '../../../lib/async/deadline.ts';
import { NEVER } from '../../../lib/async/never.ts';
import { runInWorker } from '../../../lib/async/run-in-worker.ts';
import { waitFor } from '../../../lib/async/scope.ts';
import { mpint } from '../../ssh/wire-writer.ts';

/** `base` to the power of `exponent` modulo the odd `modulus`, all big-endian; the result is as long as the modulus. */
export type Power = (base: Buffer, exponent: Buffer, modulus: Buffer) => Promise<Buffer>;

/** The input of a thread. */
export type PowerJob = Readonly<Record<'base' | 'exponent' | 'modulus', Uint8Array>>;

/**
 * modularPower() without blocking the event loop: in a thread, if its numbers are large. Where no thread starts, or
 * none soon, it blocks after all: a tunnel loses less time by that than by a lost login.
 */
export async function powerInWorker(clock: Clock, base: Buffer, exponent: Buffer, modulus: Buffer): Promise<Buffer> {
  if (modulus.length <= SMALL_BYTES) return modularPower(base, exponent, modulus);
  const inWorker = runInWorker<Uint8Array>('modular-power', { base, exponent, modulus } satisfies PowerJob, LIMITS);
  const late = () => new Error('the thread takes too long');
  const result = await deadline(clock, PATIENCE_MS, late, waitFor(inWorker), NEVER).catch(() => null);
  return result === null ? modularPower(base, exponent, modulus) : Buffer.from(result);
}

/** The thread's job. */
export function modularPowerOf({ base, exponent, modulus }: PowerJob): Uint8Array {
  return modularPower(Buffer.from(base), Buffer.from(exponent), Buffer.from(modulus));
}

/** 2048 bits and a sign take 1 ms on a PC, and 30 ms on the slowest Raspberry Pi: starting a thread takes longer. */
const SMALL_BYTES = 2048 / 8 + 1;

const LIMITS = { ms: 10_000, mib: 64 };

/** The server and connectTimeout wait for it; a login has two of them. */
export const PATIENCE_MS = 2000;

/**
 * Computes a Power synchronously: 8 ms for 8192 bits and an exponent of 512 on a PC, and a third of a second on the
 * slowest Raspberry Pi.
 *
 * Node gives access to OpenSSL's constant-time exponentiation through keys alone. So this builds a Diffie-Hellman key:
 * OpenSSL computes the public half of a key that has only its private one (PKCS #8, RFC 5958), and requires of the
 * modulus only that it is odd and has 512 to 10,000 bits; it throws for any other.
 */
export function modularPower(base: Buffer, exponent: Buffer, modulus: Buffer): Buffer {
  const parameters = sequence(integer(modulus), integer(base));
  const key = sequence(VERSION, sequence(DIFFIE_HELLMAN, parameters), der(OCTET_STRING, integer(exponent)));
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  return publicNumber(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }), modulus.length);
}

/**
 * Reads the key of a SubjectPublicKeyInfo (RFC 5280 section 4.1): an algorithm, then the key, an integer in a bit
 * string.
 */
function publicNumber(spki: Buffer, length: number): Buffer {
  const whole = elementAt(spki, 0).content;
  const bits = elementAt(whole, elementAt(whole, 0).end).content;
  const number = elementAt(bits, 1).content;
  const digits = number.subarray(Math.max(0, number.length - length));
  return Buffer.concat([Buffer.alloc(length - digits.length), digits]);
}

function elementAt(bytes: Buffer, at: number): { readonly content: Buffer; readonly end: number } {
  const short = bytes.readUInt8(at + 1);
  const extra = short < 0x80 ? 0 : short & 0x7f;
  const start = at + 2 + extra;
  const end = start + (extra === 0 ? short : bytes.readUIntBE(at + 2, extra));
  return { content: bytes.subarray(start, end), end };
}

/** Identifiers of ASN.1 in DER (X.690 section 8.1.2). */
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const SEQUENCE = 0x30;

/** dhKeyAgreement, 1.2.840.113549.1.3.1 (PKCS #3). */
const DIFFIE_HELLMAN = Buffer.from('06092a864886f70d010301', 'hex');

const VERSION = Buffer.from([INTEGER, 1, 0]);

function integer(value: Buffer): Buffer {
  return der(INTEGER, mpint(value));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(SEQUENCE, ...parts);
}

function der(type: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length = content.length < 0x80 ? Buffer.of(content.length) : longLength(content.length);
  return Buffer.concat([Buffer.of(type), length, content]);
}

function longLength(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  const used = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.of(0x80 | used.length), used]);
}

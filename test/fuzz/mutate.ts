import { uint32 } from '../support/fake-server.ts';
import type { Dice } from './messages.ts';

/**
 * Bytes that are almost the given ones, an encoding of SSH strings: with other bits, lengths, fields, or parts of
 * `others`, which have the same form. Never the same.
 */
export function mutated(dice: Dice, original: Buffer, others: readonly Buffer[] = []): Buffer {
  for (;;) {
    const changed = CHANGES[dice.roll(CHANGES.length)]!(dice, original, others);
    const again = dice.chance(0.2) ? CHANGES[dice.roll(CHANGES.length)]!(dice, changed, others) : changed;
    if (!again.equals(original)) return again;
  }
}

type Mutation = (dice: Dice, original: Buffer, others: readonly Buffer[]) => Buffer;

const EXTREMES = [0, 1, 255, 256, 65_535, 2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

const CHANGES: readonly Mutation[] = [
  (dice, original) => {
    const copy = Buffer.from(original);
    if (copy.length > 0) copy[dice.roll(copy.length)]! ^= 1 << dice.roll(8);
    return copy;
  },
  (dice, original) => {
    const copy = Buffer.from(original);
    for (let count = dice.roll(8); count >= 0 && copy.length > 0; count--)
      copy[dice.roll(copy.length)] = dice.pick([0, 1, 0x7f, 0x80, 0xff, dice.roll(256)]);
    return copy;
  },
  (dice, original) => original.subarray(0, dice.roll(original.length + 1)),
  (dice, original) => Buffer.concat([original, noise(dice)]),
  (dice, original) => {
    const at = dice.roll(original.length + 1);
    return Buffer.concat([original.subarray(0, at), noise(dice), original.subarray(at)]);
  },
  (dice, original) => {
    const [from, to] = [dice.roll(original.length + 1), dice.roll(original.length + 1)].toSorted((a, b) => a - b);
    return Buffer.concat([original.subarray(0, from), original.subarray(to)]);
  },
  (dice, original) => {
    // The length of a field.
    const copy = Buffer.from(original);
    const { at } = fieldOf(dice, original);
    if (at + 4 <= copy.length) copy.writeUInt32BE(dice.pick(EXTREMES), at);
    return copy;
  },
  (dice, original) => withField(original, fieldOf(dice, original), noise(dice)),
  (dice, original) => {
    // A field that is one byte longer or shorter, or has zeros before it.
    const field = fieldOf(dice, original);
    const content = contentOf(original, field);
    const other = dice.pick([
      content.subarray(1),
      content.subarray(0, -1),
      Buffer.concat([Buffer.alloc(1 + dice.roll(4)), content]),
      Buffer.concat([content, Buffer.of(dice.roll(256))]),
      Buffer.alloc(content.length),
      Buffer.alloc(content.length, 0xff),
    ]);
    return withField(original, field, other);
  },
  (dice, original) => {
    // A field of a field.
    const outer = fieldOf(dice, original);
    const content = contentOf(original, outer);
    const inner = fieldOf(dice, content, 0);
    return withField(original, outer, withField(content, inner, noise(dice)));
  },
  (dice, original) => {
    // Two fields that have changed places.
    const [one, two] = [fieldOf(dice, original), fieldOf(dice, original)];
    return withField(original, one, contentOf(original, two));
  },
  (dice, original, others) => {
    // A field of another of its kind.
    if (others.length === 0) return original;
    const index = dice.roll(8);
    const other = dice.pick(others);
    return withField(original, fieldAt(original, index), contentOf(other, fieldAt(other, index)));
  },
];

function noise(dice: Dice): Buffer {
  const length = dice.pick([0, 1, 4, 32, 33, 256, dice.chance(0.02) ? 100_000 : 64]);
  return Buffer.from(Uint8Array.from({ length }, () => dice.roll(256)));
}

interface Field {
  readonly at: number;
  readonly length: number;
}

/** The fields that follow each other from byte 1 on, as in a message, or from byte 0. */
function fieldsOf(bytes: Buffer, from: number): readonly Field[] {
  const fields: Field[] = [];
  for (let at = from; at + 4 <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    if (at + 4 + length > bytes.length) break;
    fields.push({ at, length });
    at += 4 + length;
  }
  return fields.length === 0 ? [{ at: Math.min(from, bytes.length), length: 0 }] : fields;
}

/** A message begins with its number, anything else with a length. */
function firstField(bytes: Buffer): number {
  return bytes[0] === 0 ? 0 : 1;
}

function fieldOf(dice: Dice, bytes: Buffer, from = firstField(bytes)): Field {
  return dice.pick(fieldsOf(bytes, from));
}

function fieldAt(bytes: Buffer, index: number): Field {
  const fields = fieldsOf(bytes, firstField(bytes));
  return fields[index % fields.length]!;
}

function contentOf(bytes: Buffer, { at, length }: Field): Buffer {
  return bytes.subarray(at + 4, at + 4 + length);
}

function withField(bytes: Buffer, { at, length }: Field, content: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), uint32(content.length), content, bytes.subarray(at + 4 + length)]);
}

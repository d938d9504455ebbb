/**
 * The encoding of NTRU Prime for numbers that are each below a modulus of their own, nearly without loss of space
 * (NTRU Prime: round 3, section 3.2): neighbours are joined to one number below the product of their moduli, whose low
 * bytes are written as long as the product is large; the rest are joined again. No number is above 2^28.
 */
export function encodeMixedRadix(numbers: readonly number[], moduli: readonly number[]): Buffer {
  const bytes: number[] = [];
  let [values, limits] = [numbers, moduli];
  for (;;) {
    const isLast = values.length === 1;
    const [joined, joinedLimits]: [number[], number[]] = [[], []];
    for (let i = 0; i < values.length; i += 2) {
      const isPair = i + 1 < values.length;
      let value = values[i]! + (isPair ? values[i + 1]! * limits[i]! : 0);
      let limit = limits[i]! * (isPair ? limits[i + 1]! : 1);
      for (; limit >= (isLast ? 2 : MAX_LIMIT); limit = (limit + 255) >> 8) {
        bytes.push(value & 255);
        value >>= 8;
      }
      joined.push(value);
      joinedLimits.push(limit);
    }
    if (isLast) return Buffer.from(bytes);
    [values, limits] = [joined, joinedLimits];
  }
}

/** A number that is left without a neighbour is below it already. */
const MAX_LIMIT = 16_384;

/** The reverse. Bytes that encode nothing give some numbers below their moduli. */
export function decodeMixedRadix(bytes: Uint8Array, moduli: readonly number[]): number[] {
  if (moduli.length === 1) return [littleEndian(bytes, 0, lengthBelow(moduli[0]!)) % moduli[0]!];
  let at = 0;
  const [low, shifts, upper]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < moduli.length; i += 2) {
    const isPair = i + 1 < moduli.length;
    let limit = moduli[i]! * (isPair ? moduli[i + 1]! : 1);
    const from = at;
    for (; limit >= MAX_LIMIT; limit = (limit + 255) >> 8) at += 1;
    low.push(littleEndian(bytes, from, at - from));
    shifts.push(8 * (at - from));
    upper.push(limit);
  }
  const high = decodeMixedRadix(bytes.subarray(at), upper);
  return moduli.map((modulus, i) => {
    const pair = low[i >> 1]! + (high[i >> 1]! << shifts[i >> 1]!);
    return (i % 2 === 0 ? pair : Math.floor(pair / moduli[i - 1]!)) % modulus;
  });
}

/** The number of bytes of a number below `limit`. */
function lengthBelow(limit: number): number {
  return limit <= 1 ? 0 : 1 + lengthBelow((limit + 255) >> 8);
}

function littleEndian(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = at + length - 1; i >= at; i--) value = (value << 8) | (bytes[i] ?? 0);
  return value;
}

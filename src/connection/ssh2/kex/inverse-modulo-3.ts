import { P, type Polynomial } from './small-ring.ts';

/**
 * 1 / a, with small coefficients modulo 3; null where there is none. The division steps of small-ring.ts, with 32 coefficients in a word, of
 * which it has two: in `one` the bits of those that are 1, in `two` of those that are -1. So it takes a sixth of the time.
 */
export function* inverseModulo3(a: Polynomial): Generator<undefined, Polynomial | null> {
  const [f, g, v, r] = [zero(), zero(), zero(), zero()];
  put(f, 0, 1);
  put(f, P - 1, -1);
  put(f, P, -1);
  for (let i = 0; i < P; i++) put(g, P - 1 - i, a[i]!);
  put(r, 0, 1);
  let delta = 1;
  for (let step = 0; step < 2 * P - 1; step++) {
    shiftUp(v.one);
    shiftUp(v.two);
    const isSet = (g.one[0]! | g.two[0]!) & 1;
    // All bits set to swap, or none.
    const swap = -(Number(delta > 0) & isSet);
    delta = (delta ^ (swap & (delta ^ -delta))) + 1;
    swapAll(f, g, swap);
    swapAll(v, r, swap);
    const minus = -(f.two[0]! & 1);
    const positive = -(g.one[0]! & 1);
    const negative = -(g.two[0]! & 1);
    reduce(f, g, minus, positive, negative);
    reduce(v, r, minus, positive, negative);
    shiftDown(g.one);
    shiftDown(g.two);
    if (step % 128 === 127) yield;
  }
  if (delta !== 0) return null;
  // What it is still to be divided by is 1 or -1.
  const scale = get(f, 0);
  return Int32Array.from({ length: P }, (_, i) => scale * get(v, P - 1 - i));
}

interface Sliced {
  readonly one: Int32Array;
  readonly two: Int32Array;
}

const WORDS = Math.ceil((P + 1) / 32);

function zero(): Sliced {
  return { one: new Int32Array(WORDS), two: new Int32Array(WORDS) };
}

/** Of coefficients that are 0. */
function put({ one, two }: Sliced, at: number, coefficient: number): void {
  const [word, bit] = [at >> 5, at & 31];
  one[word]! |= (coefficient & 1 & ~(coefficient >> 1)) << bit;
  two[word]! |= ((coefficient >> 1) & 1) << bit;
}

function get({ one, two }: Sliced, at: number): number {
  const [word, bit] = [at >> 5, at & 31];
  return ((one[word]! >> bit) & 1) - ((two[word]! >> bit) & 1);
}

/** Times x. */
function shiftUp(words: Int32Array): void {
  for (let i = WORDS - 1; i > 0; i--) words[i] = (words[i]! << 1) | (words[i - 1]! >>> 31);
  words[0]! <<= 1;
}

/** Divided by x. */
function shiftDown(words: Int32Array): void {
  for (let i = 0; i < WORDS - 1; i++) words[i] = (words[i]! >>> 1) | (words[i + 1]! << 31);
  words[WORDS - 1]! >>>= 1;
}

function swapAll(a: Sliced, b: Sliced, swap: number): void {
  for (let i = 0; i < WORDS; i++) {
    const one = swap & (a.one[i]! ^ b.one[i]!);
    const two = swap & (a.two[i]! ^ b.two[i]!);
    a.one[i]! ^= one;
    b.one[i]! ^= one;
    a.two[i]! ^= two;
    b.two[i]! ^= two;
  }
}

/**
 * Makes `b` = `a0`·`b` - `b0`·`a`, where `minus` is set if a0 is -1, and `positive` or `negative` if b0 is 1 or -1. The sum modulo 3 is
 * that of the last three lines, for each of the nine pairs.
 */
function reduce(a: Sliced, b: Sliced, minus: number, positive: number, negative: number): void {
  for (let i = 0; i < WORDS; i++) {
    const a1 = a.one[i]!;
    const a2 = a.two[i]!;
    const turn = minus & (b.one[i]! ^ b.two[i]!);
    const x1 = b.one[i]! ^ turn;
    const x2 = b.two[i]! ^ turn;
    const y1 = (positive & a2) | (negative & a1);
    const y2 = (positive & a1) | (negative & a2);
    const either = (x2 | y1) ^ (x1 | y2);
    b.one[i] = (x2 | y2) ^ either;
    b.two[i] = (x1 | y1) ^ either;
  }
}

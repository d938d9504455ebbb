/**
 * Polynomials of sntrup761: P coefficients, the constant first, modulo x^P - x - 1. Those with small coefficients have
 * -1, 0 and 1; the others are modulo Q, from -2295 to 2295. No branch and no address depends on a coefficient. Functions
 * that take long are generators, which yield where they may be interrupted.
 */
export type Polynomial = Int32Array;

export const P = 761;
export const Q = 4591;

/** Multiplies by a polynomial with small coefficients, and reduces coefficients modulo `modulus`. */
export function* multiply(a: Polynomial, small: Polynomial, modulus: 3 | typeof Q): Generator<undefined, Polynomial> {
  const padded = new Int32Array(P + 2 * (ROWS - 1));
  padded.set(a, ROWS - 1);
  const product = new Int32Array(2 * P + 2 * ROWS);
  for (let i = 0; i < P; i += ROWS) {
    addRows(product.subarray(i), padded, small[i]!, small[i + 1] ?? 0, small[i + 2] ?? 0, small[i + 3] ?? 0);
    if (i % 64 === 0) yield;
  }
  for (let i = 2 * P - 2; i >= P; i--) {
    product[i - P]! += product[i]!;
    product[i - P + 1]! += product[i]!;
  }
  return product.subarray(0, P).map((x) => centered(x, modulus));
}

/** Four rows at once take a third of the time of one after the other. */
const ROWS = 4;

function addRows(sums: Int32Array, padded: Int32Array, s0: number, s1: number, s2: number, s3: number): void {
  for (let i = 0; i < P + ROWS - 1; i++)
    sums[i]! +=
      Math.imul(s0, padded[i + 3]!) +
      Math.imul(s1, padded[i + 2]!) +
      Math.imul(s2, padded[i + 1]!) +
      Math.imul(s3, padded[i]!);
}

/** The rest of a division, nearest to 0. Exact for all that occurs here: it is never near a half. */
export function centered(x: number, modulus: number): number {
  return x - modulus * (((x / modulus + ROUND) | 0) - OFFSET);
}

/** Above the largest quotient, so that rounding towards 0 rounds down. */
const OFFSET = 2 ** 22;
const ROUND = OFFSET + 0.5;

/**
 * 1 / (3a) modulo Q, where `a` has small coefficients that are not all 0: then it exists. This is the extended Euclidean algorithm by
 * division steps, always the same number of them (Bernstein and Yang, "Fast constant-time gcd computation and modular inversion", 2019).
 */
export function* inverseOfThrice(a: Polynomial): Generator<undefined, Polynomial> {
  const [f, g, v, r] = Array.from({ length: 4 }, () => new Int32Array(P + 1)) as [Polynomial, Polynomial, Polynomial, Polynomial]; // oxfmt-ignore
  f[0] = 1;
  f[P - 1] = -1;
  f[P] = -1;
  for (let i = 0; i < P; i++) g[P - 1 - i] = a[i]!;
  r[0] = reciprocal(3);
  let delta = 1;
  for (let step = 0; step < 2 * P - 1; step++) {
    v.copyWithin(1, 0, P);
    v[0] = 0;
    // All bits set to swap, or none.
    const swap = -(Number(delta > 0) & Number(g[0] !== 0));
    delta = (delta ^ (swap & (delta ^ -delta))) + 1;
    const f0 = pick(f[0], g[0]!, swap);
    const g0 = pick(g[0]!, f[0], swap);
    // Each step moves g by one: what is further away than the steps that are left is never seen. And v has grown by one at each.
    swapAndReduce(f, g, swap, f0, g0, Math.min(P, 2 * P - 1 - step));
    swapAndReduce(v, r, swap, f0, g0, Math.min(P, step + 1));
    g.copyWithin(0, 1);
    g[P] = 0;
    if (step % 16 === 15) yield;
  }
  const factor = reciprocal(f[0]);
  return v.subarray(0, P).map((_, i) => centered(v[P - 1 - i]! * factor, Q));
}

function pick(usual: number, other: number, swap: number): number {
  return usual ^ (swap & (usual ^ other));
}

/** Swaps `a` and `b` where `swap` is set, then makes `b` = `a0`·`b` - `b0`·`a`: their coefficients up to `last`. */
function swapAndReduce(a: Polynomial, b: Polynomial, swap: number, a0: number, b0: number, last: number): void {
  const inverse = 1 / Q;
  for (let i = 0; i <= last; i++) {
    const oldA = a[i]!;
    const oldB = b[i]!;
    const change = swap & (oldA ^ oldB);
    const newA = oldA ^ change;
    const x = (Math.imul(a0, oldB ^ change) - Math.imul(b0, newA)) | 0;
    a[i] = newA;
    b[i] = x - Math.imul(Q, ((x * inverse + ROUND) | 0) - OFFSET); // centered(x, Q), faster
  }
}

/** 1 / a modulo Q, by Fermat's little theorem. */
function reciprocal(a: number): number {
  let result = a;
  for (let i = 1; i < Q - 2; i++) result = centered(result * a, Q);
  return result;
}

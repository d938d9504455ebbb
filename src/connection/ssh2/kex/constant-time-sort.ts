/**
 * Sorts numbers of 32 bits without a sign, in place, so that its time tells nothing of them: always the same comparisons in the same
 * order, each without a branch (merge exchange: Knuth, The Art of Computer Programming, volume 3, section 5.2.2, algorithm M). It yields
 * where it may be interrupted.
 */
export function* sortInConstantTime(numbers: Uint32Array): Generator<undefined, void> {
  const signed = new Int32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  flipSigns(signed);
  const half = 2 ** (31 - Math.clz32(Math.max(1, numbers.length - 1)));
  for (let p = half; p > 0; p >>= 1) {
    exchange(signed, p, p, 0);
    for (let q = half; q > p; q >>= 1) {
      exchange(signed, q - p, p, p);
      yield;
    }
  }
  flipSigns(signed);
}

/** Brings each number whose index has the bit `p` as in `r`, and the one `distance` behind it, into order. */
function exchange(x: Int32Array, distance: number, p: number, r: number): void {
  for (let i = 0; i < x.length - distance; i++) {
    if ((i & p) !== r) continue;
    const a = x[i]!;
    const b = x[i + distance]!;
    const difference = (b - a) | 0;
    // All bits set where b is below a, also where the difference has overflowed.
    const wrong = (difference ^ ((a ^ b) & (difference ^ b))) >> 31;
    const change = wrong & (a ^ b);
    x[i] = a ^ change;
    x[i + distance] = b ^ change;
  }
}

/** The order of numbers without a sign is that of others with their highest bit flipped. */
function flipSigns(x: Int32Array): void {
  for (let i = 0; i < x.length; i++) x[i]! ^= -0x8000_0000;
}

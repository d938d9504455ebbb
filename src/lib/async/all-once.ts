/**
 * Returns `count` callbacks; `done` is called when each of them has been called at least once, and at once for a count
 * of 0.
 */
export function allOnce(count: number, done: () => void): readonly (() => void)[] {
  let missing = count;
  if (missing === 0) done();
  return Array.from({ length: count }, () => {
    let called = false;
    return () => {
      if (called) return;
      called = true;
      missing -= 1;
      if (missing === 0) done();
    };
  });
}

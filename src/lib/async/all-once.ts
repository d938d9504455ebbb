/** As many callbacks as `count`; `done` is called when each was called at least once, and at once where there are none. */
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

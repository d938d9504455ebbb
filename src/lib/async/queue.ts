/** Runs one piece of work after the other, in the order they came, also after one that failed. */
export type Queue = <T>(work: () => T | Promise<T>) => Promise<T>;

export function createQueue(): Queue {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const done = last.then(work);
    // The caller gets the failure; the next piece of work begins all the same.
    last = done.catch(() => {});
    return done;
  };
}

import { loopIteration } from './loop-iteration.ts';

/**
 * Runs long work in slices of a few milliseconds, between which the event loop goes on; `steps` yields wherever it may
 * be interrupted, and true where it has to be. All such work shares the slices, so that many at once block the loop no
 * longer than one.
 */
export function inSlices<T>(steps: Generator<boolean | undefined, T>): Promise<T> {
  return new Promise((resolve, reject) => {
    waiting.push(() => {
      try {
        const until = performance.now() + SLICE_MS;
        for (;;) {
          const step = steps.next();
          if (step.done === true) {
            resolve(step.value);
            return true;
          }
          if (step.value === true || performance.now() >= until) return false;
        }
      } catch (error) {
        reject(error);
        return true;
      }
    });
    if (waiting.length === 1) setImmediate(runSlice);
  });
}

/** The same without interruption, for where nothing else is served. */
export function atOnce<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Resolves in a tick of the event loop of its own: of a thousand callers at once, one goes on per tick. */
export function ownTick(): Promise<void> {
  return inSlices(nothing());
}

/** Of many callers at once a few go on in each tick of the event loop. Null for the first few: what is rare goes on at once. */
export function fewPerTick(): Promise<void> | null {
  if (later.length === 0) {
    const iteration = loopIteration();
    if (begunIn !== iteration) begun = 0;
    begunIn = iteration;
    if (begun < FEW) {
      begun += 1;
      return null;
    }
    setImmediate(beginNextFew);
  }
  return new Promise((resolve) => later.push(resolve));
}

const FEW = 16;
/** How many have begun in which iteration of the event loop. */
let begun = 0;
let begunIn = -1;
const later: (() => void)[] = [];

function beginNextFew(): void {
  const next = later.splice(0, FEW);
  begunIn = loopIteration();
  begun = next.length;
  if (later.length > 0) setImmediate(beginNextFew);
  for (const begin of next) begin();
}

function* nothing(): Generator<undefined, void> {}

const SLICE_MS = 5;

/**
 * Whether this tick of the event loop has used up its time for data from servers, which all of them share. The time
 * starts with the first call in a tick. `laterMs` is what the caller leaves to be done at the end of the tick.
 */
export function tickIsSpent(laterMs = 0): boolean {
  const now = performance.now();
  const iteration = loopIteration();
  if (tick !== iteration) {
    tick = iteration;
    tickEndsAt = now + TICK_MS;
  }
  tickEndsAt -= laterMs;
  return now >= tickEndsAt;
}

const TICK_MS = 8;
let tick = -1;
let tickEndsAt = 0;

/** Runs a slice of some work; true when the work is done. */
type Slice = () => boolean;

const waiting: Slice[] = [];

function runSlice(): void {
  const [slice] = waiting;
  const done = slice?.() ?? true;
  // Removed only now: work added meanwhile must not start a second round.
  waiting.shift();
  if (slice !== undefined && !done) waiting.push(slice);
  if (waiting.length > 0) setImmediate(runSlice);
}

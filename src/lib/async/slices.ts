/**
 * Runs long work in pieces of a few milliseconds, between which the event loop goes on; `steps` yields wherever it may be
 * interrupted. All that is done so at the same time shares these pieces, so that many at once hold the loop no longer than one.
 */
export function inSlices<T>(steps: Generator<undefined, T>): Promise<T> {
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
          if (performance.now() >= until) return false;
        }
      } catch (error) {
        reject(error);
        return true;
      }
    });
    if (waiting.length === 1) setImmediate(runSlice);
  });
}

/** The same to its end at once, where nothing else is served. */
export function atOnce<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Resolves in a turn of the event loop that belongs to nobody else who asks: what a thousand begin together is done one by one. */
export function ownTurn(): Promise<void> {
  return inSlices(nothing());
}

/** The same, but at once for the first few that ask in one turn of the event loop: what is rare does not wait. */
export async function fewATurn(): Promise<void> {
  if (begunInTurn === 0) setImmediate(() => (begunInTurn = 0));
  begunInTurn += 1;
  if (begunInTurn > FEW) await ownTurn();
}

const FEW = 16;
let begunInTurn = 0;

function* nothing(): Generator<undefined, void> {}

const SLICE_MS = 5;

/**
 * Whether the time is over that this turn of the event loop has for what comes from servers: all of them share it. Counted from the
 * first time that somebody asks.
 */
export function turnIsSpent(): boolean {
  const now = performance.now();
  if (turnEndsAt === null) {
    turnEndsAt = now + TURN_MS;
    setImmediate(() => (turnEndsAt = null));
  }
  return now >= turnEndsAt;
}

const TURN_MS = 8;
let turnEndsAt: number | null = null;

/** Does a piece of some work; true when that is done. */
type Slice = () => boolean;

const waiting: Slice[] = [];

function runSlice(): void {
  const [slice] = waiting;
  const done = slice?.() ?? true;
  // Only now: work that came meanwhile must not start a second round.
  waiting.shift();
  if (slice !== undefined && !done) waiting.push(slice);
  if (waiting.length > 0) setImmediate(runSlice);
}

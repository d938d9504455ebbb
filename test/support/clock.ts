import type { Clock } from '../../src/lib/async/clock.ts';

/** A clock that stands still until the test moves it. */
export interface FakeClock extends Clock {
  /** Moves the time on, firing what falls due in order of time; promises settle between one timer and the next. */
  advance(ms: number): Promise<void>;
  /** Moves only the clock on the wall, as NTP does after a boot. */
  stepWall(ms: number): void;
  /** How many timers are waiting: nothing may be left behind. */
  pending(): number;
}

export function fakeClock(wallStart = Date.UTC(2026, 0, 1)): FakeClock {
  const timers = new Set<{ readonly at: number; readonly fn: () => void }>();
  let now = 0;
  let wallOffset = wallStart;

  const nextUntil = (end: number) => [...timers].filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0]; // stable: ties in order of creation

  return {
    now: () => now,
    wall: () => wallOffset + now,
    timer: (ms, fn) => {
      const timer = { at: now + Math.max(0, ms), fn };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance: async (ms) => {
      const end = now + ms;
      await settle();
      for (let timer = nextUntil(end); timer !== undefined; timer = nextUntil(end)) {
        timers.delete(timer);
        now = timer.at;
        timer.fn();
        await settle();
      }
      now = end;
    },
    stepWall: (ms) => {
      wallOffset += ms;
    },
    pending: () => timers.size,
  };
}

/** By the time setImmediate fires, every chain of promises that waits for no I/O has run to its end. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

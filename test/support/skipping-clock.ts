import { systemClock, type Clock } from '../../src/lib/async/clock.ts';

/**
 * The real clock, on which the test ends single long waits before their time. All else lasts as long as it does, so that a peer on a slow
 * machine has for its answer what the product gives it.
 */
export interface SkippingClock extends Clock {
  /** Ends the waits of this length, or of one in this range, in milliseconds: the time moves on to their end. Says how many there were. */
  skip(leastMs: number, mostMs?: number): number;
  /** The time moves on by this, in milliseconds, and all waits last as long as before: as where the machine was asleep. */
  pass(ms: number): void;
  /** How many waits of this length have begun so far. */
  begun(ms: number): number;
}

export function skippingClock(): SkippingClock {
  const waits = new Set<{ readonly ms: number; readonly dueAt: number; fire(): void }>();
  const lengths: number[] = [];
  let skippedMs = 0;
  const now = () => systemClock.now() + skippedMs;
  return {
    now,
    wall: systemClock.wall,
    timer: (ms, fn) => {
      const wait = { ms, dueAt: now() + ms, fire: () => {} };
      const end = () => {
        cancel();
        waits.delete(wait);
      };
      wait.fire = () => {
        end();
        fn();
      };
      const cancel = systemClock.timer(ms, wait.fire);
      waits.add(wait);
      lengths.push(ms);
      return end;
    },
    skip: (leastMs, mostMs = leastMs) => {
      const over = [...waits].filter(({ ms }) => ms >= leastMs && ms <= mostMs).toSorted((a, b) => a.dueAt - b.dueAt);
      for (const wait of over) {
        // One of those before it may have ended it.
        if (!waits.has(wait)) continue;
        skippedMs += Math.max(0, wait.dueAt - now());
        wait.fire();
      }
      return over.length;
    },
    pass: (ms) => {
      skippedMs += ms;
    },
    begun: (ms) => lengths.filter((length) => length === ms).length,
  };
}

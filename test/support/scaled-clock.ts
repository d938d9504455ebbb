import { systemClock, type Clock } from '../../src/lib/async/clock.ts';

/** The real clock, so many times faster: for waits of half a minute. */
export function scaledClock(times: number): Clock {
  return {
    now: () => systemClock.now() * times,
    wall: systemClock.wall,
    timer: (ms, fn) => systemClock.timer(ms / times, fn),
  };
}

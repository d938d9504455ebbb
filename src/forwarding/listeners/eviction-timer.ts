import type { Clock } from '../../lib/async/clock.ts';

/** Measures how long the server kept listeners from us that a dead connection of ours most likely held. */
export interface EvictionWatch {
  /** It refused this listener; `blamesUs` where a dead connection of ours is most likely the reason. */
  refused(index: number, blamesUs: boolean): void;
  granted(index: number): void;
}

/** `onFreed` is told after how many seconds one came free that was refused. */
export function watchEvictions(clock: Clock, onFreed: (seconds: number) => void): EvictionWatch {
  const refusedAt = new Map<number, number>();
  return {
    refused: (index, blamesUs) => {
      if (!blamesUs) refusedAt.delete(index);
      else if (!refusedAt.has(index)) refusedAt.set(index, clock.now());
    },
    granted: (index) => {
      const since = refusedAt.get(index);
      refusedAt.delete(index);
      if (since !== undefined) onFreed(Math.round((clock.now() - since) / 1000));
    },
  };
}

import { randomFillSync } from 'node:crypto';

/** Fills `count` bytes of `memory` with random ones: from a pool, since a call of the generator costs more than a short packet. */
export function createRandom(): (memory: Buffer, at: number, count: number) => void {
  const pool = Buffer.alloc(POOL);
  let used = POOL;
  return (memory, at, count) => {
    if (used + count > POOL) {
      randomFillSync(pool);
      used = 0;
    }
    pool.copy(memory, at, used, used + count);
    used += count;
  };
}

const POOL = 4096;

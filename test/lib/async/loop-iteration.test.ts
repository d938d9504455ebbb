import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { loopIteration } from '../../../src/lib/async/loop-iteration.ts';

for (const [what, now] of [
  ['by the event loop itself', () => loopIteration()],
  ['by a count, where Node.js has none', () => loopIteration({})],
] as const)
  test(`is the same until the event loop begins again: ${what}`, async () => {
    // What comes of a socket, and this behind it, are of the same iteration.
    await setImmediate();
    const seen = new Set<number>();
    for (let i = 0; i < 100; i++) {
      const first = now();
      assert.ok(!seen.has(first));
      seen.add(first);
      await Promise.resolve();
      await new Promise<void>((resolve) => process.nextTick(resolve));
      assert.equal(now(), first);
      await setImmediate();
    }
  });

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSuspects, type Recollection } from '../../src/supervisor/suspects.ts';
import { awake } from '../../src/lib/async/timer-between.ts';
import { fakeClock } from '../support/clock.ts';

const NAMES = ['a', 'poison', 'c'];

/** What the file holds, over processes that come and go. */
function createMemory() {
  let kept: Recollection = { last: null, suspect: null, times: 0 };
  let writes = 0;
  return {
    recall: () => kept,
    keep: (next: Recollection) => {
      kept = next;
      writes++;
    },
    writes: () => writes,
  };
}

/** One life of the process: each tunnel connects when it may, and `poison` kills so long after that. Returns when each connected. */
async function live(
  memory: ReturnType<typeof createMemory>,
  killsAfterMs: number | null,
): Promise<Record<string, number>> {
  const clock = fakeClock();
  const suspects = createSuspects(memory, NAMES.length - 1, clock);
  const connected: Record<string, number> = {};
  const process = { dead: false };
  for (const name of NAMES) {
    clock.timer(suspects.holdBack(name).ms, () => {
      if (process.dead) return;
      connected[name] = clock.now();
      suspects.connected(name);
      if (name === 'poison' && killsAfterMs !== null) clock.timer(killsAfterMs, () => (process.dead = true));
    });
  }
  while (!process.dead && clock.pending() > 0 && clock.now() < 7_200_000) await clock.advance(50);
  return connected;
}

for (const killsAfterMs of [0, 500, 5000]) {
  test(`finds a tunnel that kills ${killsAfterMs} ms after it has connected, which then comes last and ever more slowly`, async () => {
    const memory = createMemory();
    let alone = 0;
    for (let life = 0; life < 8; life++) {
      const connected = await live(memory, killsAfterMs);
      alone = (connected['poison'] ?? 0) - Math.max(connected['a'] ?? Infinity, connected['c'] ?? Infinity);
    }
    assert.ok(alone > 240_000, `the others had ${alone} ms`);
    // It is good again: nobody waits, in this life or the next.
    await live(memory, null);
    assert.deepEqual(memory.recall(), { last: null, suspect: null, times: 0 });
    assert.deepEqual(await live(memory, null), { a: 0, poison: 0, c: 0 });
  });
}

test('suspects no tunnel when the process ended by itself, and writes nothing while all is calm', async () => {
  const memory = createMemory();
  const clock = fakeClock();
  const suspects = createSuspects(memory, NAMES.length - 1, clock);
  suspects.connected('a');
  suspects.over('a');
  assert.equal(memory.recall().last, null);
  suspects.connected('a');
  await clock.advance(59_999);
  awake(clock);
  await clock.advance(1);
  assert.equal(memory.recall().last, 'a');
  awake(clock);
  await clock.advance(0);
  assert.deepEqual([memory.recall().last, memory.writes(), clock.pending()], [null, 4, 0]);
  await clock.advance(600_000);
  suspects.over('a');
  assert.equal(memory.writes(), 4);
});

test('starts the only tunnel at once, however often the process was stopped', () => {
  for (const times of [0, 1, 5]) {
    const memory = { recall: () => ({ last: 'a', suspect: 'a', times }), keep: () => {} };
    assert.deepEqual(createSuspects(memory, 0, fakeClock()).holdBack('a'), { ms: 0, why: null });
  }
});

test('suspects no tunnel after a while, though nothing else wakes the process', async () => {
  const memory = createMemory();
  const clock = fakeClock();
  createSuspects(memory, NAMES.length - 1, clock).connected('a');
  await clock.advance(76_000);
  assert.deepEqual([memory.recall().last, clock.pending()], [null, 0]);
});

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { suite, test } from 'node:test';
import { deferred } from '../../../src/lib/async/abort.ts';
import { sleep, sleepUntil } from '../../../src/lib/async/clock.ts';
import { deadline } from '../../../src/lib/async/deadline.ts';
import { createEmitter } from '../../../src/lib/async/emitter.ts';
import { firstToEnd, type Scope, waitFor, withScope } from '../../../src/lib/async/scope.ts';
import { fakeClock, type FakeClock } from '../../support/clock.ts';

suite('withScope', () => {
  test('answers what its block answers, and ends what that has started, when the block ends', async () => {
    const { clock, parent, nothingLeft } = world();
    let ended: unknown = null;
    const answer = await withScope(parent.signal, async (scope) => {
      scope.start(async (signal) => {
        await sleep(clock, 60_000, signal).catch(() => {});
        ended = signal.reason;
      });
      return 'done';
    });
    assert.equal(answer, 'done');
    assert.ok(ended instanceof Error);
    nothingLeft();
  });

  for (const failing of [0, 1, 2, 3]) {
    test(`leaves nothing behind when task ${failing} of 4 fails first, and rejects with its failure`, async () => {
      const { clock, parent, nothingLeft } = world();
      const reasons: unknown[] = [];
      const task = (number: number) => async (signal: AbortSignal) => {
        try {
          await sleep(clock, number === failing ? 10 : 60_000, signal);
          throw new Error(`task ${number}`);
        } catch (error) {
          reasons.push((error as Error).message);
          throw error;
        }
      };
      const body = async (scope: Scope) => {
        for (const number of [1, 2, 3]) scope.start(task(number));
        await task(0)(scope.signal);
      };
      const over = withScope(parent.signal, body);
      const rejected = assert.rejects(over, { message: `task ${failing}` });
      await clock.advance(10);
      await rejected;
      assert.deepEqual(
        reasons,
        Array.from({ length: 4 }, () => `task ${failing}`),
      );
      nothingLeft();
    });
  }

  test('waits when a task takes its time to end', async () => {
    const { clock, parent, nothingLeft } = world();
    const events: string[] = [];
    const over = withScope(parent.signal, async (scope) => {
      scope.start(async (signal) => {
        await sleep(clock, 60_000, signal).catch(() => {});
        await sleep(clock, 100, new AbortController().signal);
        events.push('closed');
      });
    }).then(() => events.push('over'));
    await clock.advance(99);
    assert.deepEqual(events, []);
    await clock.advance(1);
    await over;
    assert.deepEqual(events, ['closed', 'over']);
    nothingLeft();
  });

  test("ends with the parent's reason, and does not begin after it", async () => {
    const { clock, parent, nothingLeft } = world();
    const over = withScope(parent.signal, (scope) => sleep(clock, 60_000, scope.signal));
    const reason = new Error('stop');
    parent.abort(reason);
    await assert.rejects(over, reason);
    let begun = false;
    await assert.rejects(
      withScope(parent.signal, async () => {
        begun = true;
      }),
      reason,
    );
    assert.equal(begun, false);
    nothingLeft();
  });

  test('keeps the first failure when another comes while it ends already', async () => {
    const { clock, parent, nothingLeft } = world();
    const answer = await withScope(parent.signal, async (scope) => {
      scope.start(async (signal) => {
        await sleep(clock, 60_000, signal).catch(() => {});
        throw new Error('late');
      });
      return 1;
    });
    assert.equal(answer, 1);
    nothingLeft();
  });
});

suite('firstToEnd', () => {
  test('answers what the first one answers, or rejects as it does', async () => {
    const { clock, parent, nothingLeft } = world();
    const after = (ms: number, end: () => string) => async (signal: AbortSignal) => {
      await sleep(clock, ms, signal);
      return end();
    };
    const fail = (): string => {
      throw new Error('failed');
    };
    const table: readonly [number, number, string][] = [
      [10, 20, 'quick'],
      [20, 10, 'failed'],
    ];
    for (const [quick, failing, wanted] of table) {
      const race = firstToEnd(parent.signal, [after(quick, () => 'quick'), after(failing, fail)]).catch(
        (error: Error) => error.message,
      );
      await clock.advance(10);
      assert.equal(await race, wanted);
      nothingLeft();
    }
  });

  test('leaves a promise to itself when it cannot be cancelled', async () => {
    const { clock, parent, nothingLeft } = world();
    let fail!: (error: Error) => void;
    const lasting = new Promise<string>((_, reject) => (fail = reject));
    const race = firstToEnd(parent.signal, [waitFor(lasting), () => Promise.resolve('now')]);
    assert.equal(await race, 'now');
    fail(new Error('nobody listens any more'));
    await clock.advance(1);
    nothingLeft();
  });
});

suite('an answer that does not count', () => {
  test('is disposed of when it comes second, after the abort, or after the task ended', async () => {
    for (const [how, wanted] of [
      ['both at once', 'one'],
      ['aborted with the answer', 'stop'],
      ['late', 'stop'],
    ] as const) {
      const { parent, nothingLeft } = world();
      const [one, other] = [deferred<string>(), deferred<string>()];
      const disposed: string[] = [];
      const dispose = (late: string) => void disposed.push(late);
      const tasks = [one, other].map(({ promise }) => waitFor(promise, dispose));
      const first = firstToEnd<string>(parent.signal, tasks, dispose).catch((error: Error) => error.message);
      if (how === 'late') parent.abort(new Error('stop'));
      one.resolve('one');
      if (how === 'aborted with the answer') await Promise.resolve().then(() => parent.abort(new Error('stop')));
      other.resolve('other');
      assert.equal(await first, wanted, how);
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(disposed.toSorted(), wanted === 'one' ? ['other'] : ['one', 'other'], how);
      nothingLeft();
    }
  });
});

suite('deadline', () => {
  const late = () => new Error('too late');
  test('answers what the work answers in time', async () => {
    const { clock, parent, nothingLeft } = world();
    const work = deadline(clock, 100, late, (signal) => sleep(clock, 99, signal).then(() => 'in time'), parent.signal);
    await clock.advance(99);
    assert.equal(await work, 'in time');
    nothingLeft();
  });

  test('aborts the work when the time is over, and says what was waited for', async () => {
    const { clock, parent, nothingLeft } = world();
    let reason: unknown = null;
    const work = deadline(
      clock,
      100,
      late,
      async (signal) => {
        await sleep(clock, 60_000, signal).catch((error: unknown) => (reason = error));
      },
      parent.signal,
    );
    const rejected = assert.rejects(work, { message: 'too late' });
    await clock.advance(100);
    await rejected;
    assert.equal((reason as Error).message, 'too late');
    nothingLeft();
  });
});

suite('sleepUntil', () => {
  test('ends with the time, with any of its wakers, or with the signal', async () => {
    const { clock, parent, nothingLeft } = world();
    const [one, other] = [createEmitter(), createEmitter()];
    const listening = { count: 0 };
    const counted = (listen: typeof one.subscribe) => (listener: () => void) => {
      listening.count += 1;
      const end = listen(listener);
      return () => {
        listening.count -= 1;
        end();
      };
    };
    const wakers = [counted(one.subscribe), counted(other.subscribe)];
    const stop = new Error('stop');
    const table: readonly [string, () => void | Promise<void>, string][] = [
      ['time', () => clock.advance(1000), 'awake'],
      ['one', one.emit, 'awake'],
      ['other', other.emit, 'awake'],
      ['signal', () => parent.abort(stop), 'stop'],
    ];
    for (const [what, happen, wanted] of table) {
      const slept = sleepUntil(clock, 1000, wakers, parent.signal).then(
        () => 'awake',
        (error: Error) => error.message,
      );
      await happen();
      assert.equal(await slept, wanted, what);
      assert.equal(listening.count, 0, what);
      nothingLeft();
    }
    await assert.rejects(sleepUntil(clock, 1000, wakers, parent.signal), stop);
    assert.equal(listening.count, 0);
  });

  test('forgets a waker when it calls back at once', async () => {
    const { clock, parent, nothingLeft } = world();
    const forgotten: string[] = [];
    const atOnce = (listener: () => void) => {
      listener();
      return () => void forgotten.push('at once');
    };
    const never = () => () => void forgotten.push('never');
    await sleepUntil(clock, 1000, [atOnce, never], parent.signal);
    assert.deepEqual(forgotten, ['at once']);
    nothingLeft();
  });
});

function world(): { clock: FakeClock; parent: AbortController; nothingLeft: () => void } {
  const clock = fakeClock();
  const parent = new AbortController();
  return {
    clock,
    parent,
    nothingLeft: () => {
      assert.deepEqual(getEventListeners(parent.signal, 'abort'), []);
      assert.equal(clock.pending(), 0);
    },
  };
}

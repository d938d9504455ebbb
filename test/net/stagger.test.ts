import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { firstToSucceed } from '../../src/net/stagger.ts';
import { fakeClock } from '../support/clock.ts';

describe('starts one after the other, each beside the last', () => {
  test('begins the next when the delay is over, and ends the others when the first one succeeds', async () => {
    const { clock, run, log } = setUp();
    const winner = run([never, after(500, 'b'), never]);
    await clock.advance(600);
    assert.deepEqual(log, ['0 begins at 0', '1 begins at 250', '2 begins at 500']);
    await clock.advance(200);
    assert.equal(await winner, 'b');
    assert.deepEqual(log.slice(3).toSorted(), ['0 aborted', '2 aborted']);
    assert.equal(clock.pending(), 0);
  });

  test('begins the next at once when one fails, and reports all reasons in order when all fail', async () => {
    const { clock, run, log } = setUp();
    const failed = assert.rejects(run([failing(300, 'a'), failing(10, 'b'), failing(0, 'c')]), (error) => {
      assert.ok(error instanceof AggregateError);
      assert.deepEqual(error.errors, ['a', 'b', 'c']);
      return true;
    });
    await clock.advance(1000);
    await failed;
    assert.deepEqual(log, ['0 begins at 0', '1 begins at 250', '2 begins at 260']);
  });

  test('undoes a success when it comes too late', async () => {
    const { clock, run, discarded } = setUp();
    const stubborn: Try = ({ clock: time }) => new Promise((resolve) => time.timer(400, () => resolve('late')));
    const winner = run([stubborn, after(100, 'b')]);
    await clock.advance(1000);
    assert.equal(await winner, 'b');
    assert.deepEqual(discarded, ['late']);
  });

  test('gives up with the reason of the signal when that aborts', async () => {
    const { clock, run, controller } = setUp();
    const failed = assert.rejects(run([never, never]), /enough/);
    await clock.advance(300);
    controller.abort(new Error('enough'));
    await failed;
    assert.equal(clock.pending(), 0);
  });
});

type Try = (at: { readonly clock: ReturnType<typeof fakeClock>; readonly signal: AbortSignal }) => Promise<string>;

const never: Try = ({ signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));

function after(ms: number, value: string): Try {
  return ({ clock }) => new Promise((resolve) => clock.timer(ms, () => resolve(value)));
}

function failing(ms: number, reason: string): Try {
  // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- a word is enough to tell them apart
  return ({ clock }) => new Promise((_, reject) => clock.timer(ms, () => reject(reason)));
}

function setUp() {
  const clock = fakeClock();
  const controller = new AbortController();
  const log: string[] = [];
  const discarded: string[] = [];
  const run = (tries: readonly Try[]) =>
    firstToSucceed(
      tries.map((attempt, index) => (signal: AbortSignal) => {
        log.push(`${index} begins at ${clock.now()}`);
        signal.addEventListener('abort', () => {
          if (attempt === never) log.push(`${index} aborted`);
        });
        return attempt({ clock, signal });
      }),
      { clock, delayMs: 250, discard: (late) => discarded.push(late) },
      controller.signal,
    );
  return { clock, controller, run, log, discarded };
}

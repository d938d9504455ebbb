import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createEmitter } from '../../../src/lib/async/emitter.ts';
import { systemClock, type Clock } from '../../../src/lib/async/clock.ts';
import { createLogger } from '../../../src/lib/log/log.ts';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { keepForwards } from '../../../src/forwarding/listeners/remote-listeners.ts';
import type { VerifyResult } from '../../../src/forwarding/verify/results.ts';
import { createSuspendableListeners } from '../../../src/forwarding/listeners/suspendable-listeners.ts';
import type { ForwardSpec, TunnelSpec } from '../../../src/model/spec.ts';
import type { SshConnection } from '../../../src/connection/ssh/connection.ts';
import { fakeClock } from '../../support/clock.ts';
import { quietDevice } from '../../support/tunnel.ts';
import { until } from '../../support/until.ts';

const OURS: VerifyResult = { type: 'ours', whole: true };
const OTHER: VerifyResult = {
  type: 'other',
  who: 'it says hello',
  answered: true,
  alive: true,
  hostKey: null,
  own: false,
  certain: true,
};
const UNKNOWN: VerifyResult = { type: 'unknown', why: 'not now' };
const BY_ACCIDENT: VerifyResult = { type: 'unknown', why: 'too slow', passing: true };

const QUARTER_MS = 15 * 60_000;
const quick: Clock = { ...systemClock, timer: (ms, fn) => systemClock.timer(ms > 60_000 ? ms : ms / 100, fn) };

test('after every doubt it is looked again', async (t) => {
  const { looks, doubtOver, events } = keep(t, 'auto', [OURS]);
  await until(() => events.length === 1, { what: 'the first answer' });
  assert.equal(looks(), 1);
  doubtOver.emit();
  await until(() => events.length === 2, { what: 'the second answer' });
  assert.deepEqual([looks(), events], [2, ['up', 'up']]);
});

test('one miss, or two, take no listener back that works; three do, and then it is asked for again', async (t) => {
  const { looks, doubtOver, events, unlistened, answer } = keep(t, 'auto', [OURS, OTHER, OTHER, OURS]);
  await until(() => looks() === 1, { what: 'the first look' });
  doubtOver.emit();
  await until(() => events.length === 2, { what: 'two misses and a hit' });
  assert.equal(looks(), 4);
  assert.deepEqual([events, unlistened()], [['up', 'up'], 0]);
  answer(OTHER);
  doubtOver.emit();
  await until(() => unlistened() === 1, { what: 'the listener to be given back' });
  assert.deepEqual(events.slice(2, 3), ['refused in-use, elsewhere']);
  answer(OURS);
  await until(() => events.at(-1) === 'up', { what: 'the listener again' });
});

test('keeps a required listener pending before it was verified, and keeps it when a later check is inconclusive', async (t) => {
  const { looks, doubtOver, events, unlistened, answer } = keep(t, 'required', [UNKNOWN]);
  await until(() => events.length === 1, { what: 'the first answer' });
  assert.deepEqual(events, ['refused unknown']);
  answer(OURS);
  doubtOver.emit();
  await until(() => events.at(-1) === 'up', { what: 'the proof' });
  answer(UNKNOWN);
  const before = looks();
  doubtOver.emit();
  await until(() => looks() > before, { what: 'another look' });
  assert.deepEqual([events.at(-1)?.startsWith('up'), unlistened()], [true, 0]);
});

test('a server that does not say whether it listens is given up; one at whose listener a look takes long is not', async (t) => {
  const clock = fakeClock();
  const mute = keep(t, 'auto', [OURS], { clock, silent: 'server' });
  const slow = keep(t, 'auto', [OURS], { clock, silent: 'look' });
  await clock.advance(29_000);
  assert.equal(mute.end(), null);
  await clock.advance(1000);
  assert.match(String(mute.end()), /did not say within 30 s whether it listens/);
  await clock.advance(QUARTER_MS);
  assert.deepEqual([slow.end(), slow.looks()], [null, 1]);
  assert.equal(clock.pending(), 0);
});

test('what is suspended is given back to the server, and asked for again only when it is taken back', async (t) => {
  const { listeners, events, unlistened, answered } = keep(t, 'auto', [OURS]);
  await until(() => events.length === 1, { what: 'the first answer' });
  await listeners.suspend([0]);
  assert.deepEqual([events, unlistened(), answered()], [['up', 'suspended'], 1, 1]);
  listeners.resume([1]);
  await wait(50); // a hundred times as long as it would sleep
  assert.deepEqual(events, ['up', 'suspended'], 'another one was taken back');
  listeners.resume([0]);
  await until(() => events.length === 3, { what: 'the listener again' });
  assert.deepEqual([events, unlistened(), answered()], [['up', 'suspended', 'up'], 1, 1]);
});

test('what becomes of another listener is no reason to verify one again', async (t) => {
  const clock = fakeClock();
  const { listeners, looks } = keep(t, 'auto', [OURS], { clock });
  await clock.advance(0);
  assert.equal(looks(), 1);
  for (let count = 0; count < 3; count += 1) {
    await listeners.acquire(1, new AbortController().signal);
    listeners.release(1);
    void listeners.suspend([1]);
    listeners.resume([1]);
    await clock.advance(1000);
  }
  assert.equal(looks(), 1);
});

test('asks nothing about a listener that is suspended already', async (t) => {
  const { listeners, events, answered } = keep(t, 'auto', [OURS], { suspended: [0] });
  await until(() => answered() === 1, { what: 'the answer' });
  assert.deepEqual(events, []);
  listeners.resume([0]);
  await until(() => events.at(-1) === 'up', { what: 'the listener' });
  assert.equal(answered(), 1);
});

test('a listener that is lost after a long time is asked for as often as a new one', async (t) => {
  const clock = fakeClock();
  const { looks, events, asked, answer, refuse } = keep(t, 'auto', [OURS], { clock });
  await clock.advance(0);
  assert.deepEqual([events, asked()], [['up'], 1]);
  answer(OTHER);
  refuse();
  // A quarter of an hour and its half a third; two more looks, five seconds apart.
  await clock.advance(QUARTER_MS * (1 + 0.5 / 3) + 10_000);
  assert.deepEqual([looks(), events.slice(1)], [4, ['refused in-use, elsewhere']]);
  await clock.advance(10_000);
  assert.ok(asked() > 5, `asked ${asked()} times`);
});

test('a look that failed by an accident is made again in a minute, then ever more seldom; after one that did not, seldom', async (t) => {
  const clock = fakeClock();
  const { looks, events, answer } = keep(t, 'auto', [BY_ACCIDENT], { clock });
  await clock.advance(0);
  /** Minutes between the looks that come next, each a sixth longer than planned. */
  const gaps = async (count: number) => {
    const found: number[] = [];
    for (let from = clock.now(); found.length < count; from = clock.now()) {
      const before = looks();
      while (looks() === before) await clock.advance(10_000);
      found.push(Math.round((clock.now() - from) / 60_000));
    }
    return found;
  };
  assert.deepEqual(await gaps(6), [1, 2, 5, 9, 18, 18]);
  assert.deepEqual([...new Set(events)], ['up, too slow']);
  answer(OURS);
  assert.deepEqual(await gaps(2), [18, 18]);
  answer(BY_ACCIDENT);
  assert.deepEqual(await gaps(3), [18, 1, 2]);
  answer(UNKNOWN);
  assert.deepEqual(await gaps(2), [5, 18]);
});

test('required: an accident takes nothing back either, and is no proof', async (t) => {
  const clock = fakeClock();
  const { events, answer } = keep(t, 'required', [BY_ACCIDENT], { clock });
  await clock.advance(0);
  assert.deepEqual(events, ['refused unknown']);
  answer(OURS);
  await clock.advance(90_000);
  answer(BY_ACCIDENT);
  await clock.advance(QUARTER_MS * 2);
  assert.deepEqual([...new Set(events.slice(1))], ['up', 'up, too slow']);
});

/** Keeps one forward at a server that grants everything; who answers there is as the test says, the last for ever. */
function keep(
  t: TestContext,
  verify: TunnelSpec['verify'],
  answers: VerifyResult[],
  {
    clock = quick,
    suspended = [],
    silent,
  }: { clock?: Clock; suspended?: readonly number[]; silent?: 'server' | 'look' } = {},
) {
  const over = new AbortController();
  t.after(() => over.abort(new Error('the test is over')));
  const doubtOver = createEmitter();
  const events: string[] = [];
  let looks = 0;
  let answered = 0;
  let asked = 0;
  let grants = true;
  let unlistened = 0;
  let end: unknown = null;
  let rest: VerifyResult[] = [...answers];
  const listeners = createSuspendableListeners(systemClock);
  void listeners.suspend(suspended);
  const forward: ForwardSpec = {
    kind: 'remote',
    listen: { type: 'tcp', host: 'localhost', port: 8080 },
    target: { type: 'tcp', host: 'localhost', port: 22 },
  };
  const connection = {
    listen: () => {
      asked += 1;
      if (silent === 'server') return new Promise<never>(() => {});
      return grants ? Promise.resolve(8080) : Promise.reject(new TunnelFailure('forward-refused', 'no'));
    },
    unlisten: () => Promise.resolve(void (unlistened += 1)),
  } as unknown as SshConnection;
  keepForwards(
    connection,
    [forward],
    {
      clock,
      random: () => 0.5,
      log: createLogger('fatal', () => {}),
      wasUp: false,
      verify,
      verifier: {
        verify: () => {
          looks += 1;
          if (silent === 'look') return new Promise<never>(() => {});
          const [next = OURS] = rest;
          if (rest.length > 1) rest = rest.slice(1);
          return Promise.resolve(next);
        },
        identify: () => Promise.resolve(OTHER),
        isExposed: () => Promise.resolve(false),
      },
      tunnel: 'test',
      holdings: quietDevice.holdings('server'),
      onTaken: () => () => {},
      access: listeners,
      onRecheck: doubtOver.subscribe,
      onGranted: () => {},
      onEvicted: () => {},
      onUp: (_, { unverified }) => events.push(unverified === null ? 'up' : `up, ${unverified}`),
      onExposed: () => {},
      onRefused: (_, { refusal, elsewhere }) => events.push(`refused ${refusal}${elsewhere ? ', elsewhere' : ''}`),
      onSuspended: () => events.push('suspended'),
      onAnswered: () => (answered += 1),
    },
    over.signal,
  ).catch((error: unknown) => (end = error));
  return {
    end: () => end,
    listeners,
    doubtOver,
    events,
    looks: () => looks,
    answered: () => answered,
    asked: () => asked,
    refuse: () => void (grants = false),
    unlistened: () => unlistened,
    answer: (next: VerifyResult) => (rest = [next]),
  };
}

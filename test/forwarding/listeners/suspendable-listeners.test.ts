import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createEmitter } from '../../../src/lib/async/emitter.ts';
import { systemClock, type Clock } from '../../../src/lib/async/clock.ts';
import { createLogger } from '../../../src/lib/log/log.ts';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { keepRemoteListeners } from '../../../src/forwarding/listeners/remote-listeners.ts';
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

test('looks again after every doubt', async (t) => {
  const { looks, doubtOver, events } = keep(t, 'auto', [OURS]);
  await until(() => events.length === 1, { what: 'the first answer' });
  assert.equal(looks(), 1);
  doubtOver.emit();
  await until(() => events.length === 2, { what: 'the second answer' });
  assert.deepEqual([looks(), events], [2, ['up', 'up']]);
});

test('takes a listener back when it has missed three times, not once or twice, and then asks for it again', async (t) => {
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

test('gives a server up when it does not say whether it listens, not when a look takes long', async (t) => {
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

test('gives back what is suspended, and asks for it again only when it is resumed', async (t) => {
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

test('does not verify a listener again when something happens to another', async (t) => {
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

test('asks nothing when a listener is suspended already', async (t) => {
  const { listeners, events, answered } = keep(t, 'auto', [OURS], { suspended: [0] });
  await until(() => answered() === 1, { what: 'the answer' });
  assert.deepEqual(events, []);
  listeners.resume([0]);
  await until(() => events.at(-1) === 'up', { what: 'the listener' });
  assert.equal(answered(), 1);
});

test('asks as often as for a new one when a listener is lost after a long time', async (t) => {
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

test('looks again in a minute when a look failed by an accident, then ever more seldom', async (t) => {
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

test('takes no required listener back when a look fails by an accident, which is no proof either', async (t) => {
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
  const answered = new Set<number>();
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
  keepRemoteListeners(
    connection,
    [forward],
    {
      clock,
      random: () => 0.5,
      log: createLogger('fatal', () => {}),
      wasUp: false,
      certificate: null,
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
      owners: quietDevice.owners('server'),
      onTaken: () => () => {},
      access: listeners,
      onRecheck: doubtOver.subscribe,
      onGranted: () => {},
      onEvicted: () => {},
      onUp: (_, { unverified }) => events.push(unverified === null ? 'up' : `up, ${unverified}`),
      onExposed: () => {},
      onRefused: (_, { refusal, elsewhere }) => events.push(`refused ${refusal}${elsewhere ? ', elsewhere' : ''}`),
      onSuspended: () => events.push('suspended'),
      onAnswered: (index) => void answered.add(index),
    },
    over.signal,
  ).catch((error: unknown) => (end = error));
  return {
    end: () => end,
    listeners,
    doubtOver,
    events,
    looks: () => looks,
    answered: () => answered.size,
    asked: () => asked,
    refuse: () => void (grants = false),
    unlistened: () => unlistened,
    answer: (next: VerifyResult) => (rest = [next]),
  };
}

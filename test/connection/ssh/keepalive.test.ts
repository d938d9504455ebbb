import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runKeepalive } from '../../../src/connection/ssh/keepalive.ts';
import { systemClock, type Clock } from '../../../src/lib/async/clock.ts';
import { timerBetween } from '../../../src/lib/async/timer-between.ts';
import { STATIC_DEVICE } from '../../../src/net/device.ts';
import { connectTo } from '../../support/connection.ts';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd } from '../../support/sshd.ts';
import { until } from '../../support/until.ts';

/** Long enough that a slow machine answers within it now and then. */
const INTERVAL_MS = 500;

test('does not wake again for an answer that has come: that ends the wait for it', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const connection = await connectTo(t, sshd, () => {});
  const waits: { readonly ms: number; readonly seldomFires: boolean; end: 'fired' | 'cancelled' | null }[] = [];
  const clock: Clock = {
    ...systemClock,
    timer: (ms, fn, seldomFires = false) => {
      const wait: (typeof waits)[number] = { ms, seldomFires, end: null };
      waits.push(wait);
      const cancel = systemClock.timer(
        ms,
        () => {
          wait.end = 'fired';
          fn();
        },
        seldomFires,
      );
      return () => {
        wait.end ??= 'cancelled';
        cancel();
      };
    },
  };
  const over = new AbortController();
  const state = { rttMs: null as number | null, silentSince: null as number | null };
  const ended = runKeepalive(
    connection,
    { serverAliveIntervalMs: INTERVAL_MS, serverAliveCountMax: 1000 },
    {
      clock,
      device: STATIC_DEVICE,
      probe: null,
      heartbeat: () => {},
      state: () => state,
      report: (change) => Object.assign(state, change),
    },
    over.signal,
  ).catch((error: unknown) => error);
  const answered = () => waits.findIndex(({ seldomFires, end }) => seldomFires && end === 'cancelled');
  await until(() => answered() !== -1 && answered() < waits.length - 1, { what: 'an answer' });
  const next = waits[answered() + 1]!;
  assert.equal(next.seldomFires, false);
  assert.ok(next.ms <= INTERVAL_MS);
  assert.ok(state.rttMs !== null);
  over.abort(new Error('over'));
  assert.equal(((await ended) as Error).message, 'over');
});

test('asks along with another connection when it has been silent for half of its interval, so that both wake the process once', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const connection = await connectTo(t, sshd, () => {});
  const clock = skippingClock();
  const over = new AbortController();
  t.after(() => over.abort(new Error('over')));
  const asked = new Set<string>();
  const alongside: string[] = [];
  t.after(timerBetween(clock, 50_000, 1e9, () => alongside.push('what could wait')));
  t.after(timerBetween(clock, 51_000, 1e9, () => alongside.push('what it is too early for')));
  const start = (name: string, serverAliveIntervalMs: number) =>
    runKeepalive(
      { ...connection, ping: () => (asked.add(name), connection.ping()) },
      { serverAliveIntervalMs, serverAliveCountMax: 3 },
      {
        clock,
        device: STATIC_DEVICE,
        probe: null,
        heartbeat: () => {},
        state: () => ({ rttMs: null, silentSince: null }),
        report: () => {},
      },
      over.signal,
    ).catch((error: unknown) => error);
  const all = [start('first', 50_000)];
  clock.pass(20_000);
  all.push(start('silent for 30 s', 49_000));
  clock.pass(10_000);
  all.push(start('silent for 20 s', 48_000));
  assert.equal(clock.skip(49_500, 50_000), 1);
  await until(() => asked.size > 1, { what: 'a second question' });
  assert.deepEqual([...asked], ['first', 'silent for 30 s']);
  await until(() => alongside.length > 0, { what: 'what could wait' });
  assert.deepEqual(alongside, ['what could wait']);
  over.abort(new Error('over'));
  await Promise.all(all);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runKeepalive } from '../../../src/connection/ssh/keepalive.ts';
import { systemClock, type Clock } from '../../../src/lib/async/clock.ts';
import { STATIC_DEVICE } from '../../../src/net/device.ts';
import { connectTo } from '../../support/connection.ts';
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

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEmitter } from '../../../src/lib/async/emitter.ts';
import type { ForwardSpec } from '../../../src/model/spec.ts';
import { watchTargets } from '../../../src/forwarding/listeners/target-monitor.ts';
import { fakeClock } from '../../support/clock.ts';
import { startSink } from '../../support/echo.ts';
import { until } from '../../support/until.ts';

test('checks a target again soon after it refused a visitor, and no other target', async (t) => {
  const clock = fakeClock();
  const over = new AbortController();
  t.after(() => over.abort(new Error('the test is over')));
  const targets = [await startSink(), await startSink()];
  t.after(() => Promise.all(targets.map((target) => target.close())));
  const forwards = targets.map(({ port }, index): ForwardSpec => ({
    kind: 'remote',
    listen: { type: 'tcp', host: 'localhost', port: index + 1 },
    target: { type: 'tcp', host: '127.0.0.1', port },
  }));
  const told = [0, 0];
  let failing = false;
  const refused = createEmitter();
  watchTargets(
    { forwards, connectTimeoutMs: 10_000, addressFamily: 'any' },
    {
      clock,
      random: () => 0,
      isFailing: (index) => index === 0 && failing,
      onFailing: refused.subscribe,
      onTarget: (index) => (told[index]! += 1),
    },
    over.signal,
  ).catch(() => {});
  await until(() => told.join() === '1,1', { what: 'the first visits' });
  failing = true;
  refused.emit();
  for (const visits of [2, 3]) {
    await clock.advance(60_000);
    await until(() => told[0] === visits, { what: `visit ${visits}` });
  }
  // Visits that are on their way when one moves the time, the other has heard of by its second.
  assert.deepEqual(told, [3, 1]);
  assert.equal(targets[1]?.accepted(), 1);
  failing = false;
  await clock.advance(60_000);
  await until(() => told[0] === 4, { what: 'the last visit in haste' });
  await clock.advance(15 * 60_000 + 16_000);
  await until(() => told.join() === '5,2', { what: 'the next visit of both' });
});

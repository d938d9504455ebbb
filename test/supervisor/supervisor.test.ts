import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../src/lib/log/log.ts';
import { NO_SUSPECTS } from '../support/suspects.ts';
import { createSupervisor } from '../../src/supervisor/supervisor.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { fakeClock } from '../support/clock.ts';
import { startSshd } from '../support/sshd.ts';
import { quietDevice, specFor } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';

function supervise(clock: Clock) {
  const lines: Record<string, unknown>[] = [];
  const supervisor = createSupervisor({
    suspects: NO_SUSPECTS,
    clock,
    random: () => 0.5,
    log: createLogger('debug', (line) => lines.push(JSON.parse(line) as Record<string, unknown>)),
    identities: createIdentityCache(),
    device: quietDevice,
    ping: () => null,
  });
  return { supervisor, lines };
}

/** A bug: whoever asks for its `reconnect` is thrown at, so many times. */
function poisoned(spec: TunnelSpec, times = Number.POSITIVE_INFINITY): TunnelSpec {
  let left = times;
  return Object.defineProperty({ ...spec, name: 'poisoned' }, 'reconnect', {
    get: () => {
      if (left-- > 0) throw new TypeError('a bug');
      return spec.reconnect;
    },
  });
}

test('logs a bug in one tunnel and starts it again, while the others stay up', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const { supervisor, lines } = supervise(systemClock);
  t.after(() => supervisor.stop());
  const good = specFor(sshd, [[await freePort(), 22]]);
  await supervisor.apply([poisoned(good), good]);
  await until(() => supervisor.tunnels()[1]?.state.phase === 'up', { what: 'the good tunnel' });
  await until(() => lines.some((line) => line['tunnel'] === 'poisoned' && line['code'] === 'internal'), {
    what: 'the bug in the log',
  });
  assert.deepEqual(supervisor.stuck(), []);
  assert.deepEqual(supervisor.retry('nosuch'), []);
  const bugs = () => lines.filter((line) => line['code'] === 'internal').length;
  const before = bugs();
  await supervisor.stop();
  assert.equal(bugs(), before, 'a stop is no bug');
});

test('brings a tunnel up when it is started again after a bug ended it', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const { supervisor, lines } = supervise(systemClock);
  t.after(() => supervisor.stop());
  await supervisor.apply([poisoned(specFor(sshd, [[await freePort(), 22]]), 1)]);
  await until(() => supervisor.tunnels()[0]?.state.phase === 'up', { what: 'the tunnel' });
  assert.match(JSON.stringify(lines.find((line) => line['code'] === 'internal')?.['error']), /TypeError.*a bug/);
});

test('takes a loop for stuck when it does not report in the time it promised', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const clock = fakeClock();
  let stall = 0;
  const { supervisor } = supervise({ ...clock, now: () => clock.now() + stall });
  // A server that never answers, and timers that do not fire although time goes by: the loop stands still.
  sshd.freeze();
  t.after(() => sshd.thaw());
  await supervisor.apply([specFor(sshd, [[await freePort(), 22]], { connectTimeoutMs: 3_600_000 })]);
  await until(() => supervisor.tunnels()[0]?.state.sourcePort != null, { what: 'a connection' });
  assert.deepEqual(supervisor.stuck(), []);
  await clock.advance(3_500_000);
  assert.deepEqual(supervisor.stuck(), [], 'it promised to be back within an hour');
  stall = 24 * 3_600_000;
  assert.deepEqual(supervisor.stuck(), ['test']);
  await supervisor.stop();
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { pauseMs, untilServerIsReady } from '../../../src/commands/setup/wait-for-server.ts';
import { FAIL2BAN_MS, loginAt } from '../../../src/net/pacing/failed-logins.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

test('is ready when a port leads to this very device by ssh, never when it leads to another', async (t) => {
  const [relay, device, another] = [await startSshd(), await startSshd(), await startSshd()];
  for (const sshd of [relay, device, another]) t.after(() => sshd.stop());
  const port = await freePort();
  const spec = specFor(relay, [[port, device.port]]);
  const where = ['-i', relay.clientKey, '-p', `${relay.port}`, '-R', `${port}:127.0.0.1:${device.port}`];
  const known = `UserKnownHostsFile=${spec.userKnownHostsFiles[0]}`;
  const old = spawn(
    'ssh',
    ['-N', '-F', 'none', '-o', 'BatchMode=yes', '-o', known, ...where, `${relay.user}@127.0.0.1`],
    {
      stdio: 'ignore',
    },
  );
  t.after(() => old.kill('SIGKILL'));
  await until(async () => (await visit(port, 'x')).startsWith('SSH-'), { what: "ssh's listener" });
  const told: string[] = [];
  await untilServerIsReady(spec, (text) => told.push(text));
  assert.deepEqual(told.slice(1), []);

  const others = specFor(relay, [[another.port, device.port]]);
  await assert.rejects(
    untilServerIsReady(others, (text) => told.push(text)),
    /^Error: (?:forward|round trip): .*another program listens there: an SSH server, but not this device's.*\n.*choose another one \(remoteForward\)/s,
  );
});

test('spreads the refused logins that servers bear over the time in which a person sets up the server', () => {
  const times: number[] = [];
  const waits: number[] = [];
  const claim = { loginHistory: 'proven', urgent: true } as const;
  for (let now = 0; now < 3_600_000;) {
    times.push(now);
    const pace = { rejected: times, lastRejected: 'new' as const, pending: 0, established: 0 };
    const planned = now + pauseMs(times.length, now);
    now = Math.max(planned, loginAt(pace, claim, planned));
    waits.push(now - (times.at(-1) ?? 0));
    assert.ok(times.filter((at) => at > now - FAIL2BAN_MS).length < 5);
  }
  assert.ok(times.length > 14, `${times.length} in an hour`);
  assert.ok(Math.max(...waits.slice(0, 3)) <= 180_000);
  assert.ok(Math.max(...waits) <= 360_000, `${Math.max(...waits)} ms`);
});

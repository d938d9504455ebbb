import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { untilServerIsReady } from '../../src/commands/until-ready.ts';
import { startSshd } from '../support/sshd.ts';
import { specFor } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { visit } from '../tunnel/visit.ts';

test('a port that leads to this very device already, by ssh, is ready; one that leads to another device never is', async (t) => {
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

import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { auditOf } from '../../audit/audit-sshd.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startEcho } from '../../support/echo.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { startAsyncssh, startDropbear, type OtherServer } from '../../support/other-servers.ts';
import { socks } from '../../support/socks-client.ts';
import { visit } from '../../support/visit.ts';

describe('other servers', () => {
  test('carries data both ways at Dropbear, with local and dynamic forwards, and comes back after every loss', async (t) => {
    if (!mayBuildNetworks(t)) return;
    await useful(t, await startDropbear(t));
  });

  test('carries data both ways at AsyncSSH, with local and dynamic forwards, and comes back after every loss', async (t) => {
    await useful(t, await startAsyncssh(t));
  });
});

test('loses nothing when AsyncSSH renews its keys in the middle of transfers in both directions', async (t) => {
  const server = await startAsyncssh(t, 1 << 20);
  const echo = await startEcho();
  t.after(() => echo.close());
  const remote = await freePort();
  const tunnel = startTunnel(t, specFor(server, [[remote, echo.port]]));
  await tunnel.untilPhase('up');
  const words = 'x'.repeat(5_000_000);
  const answers = await Promise.all([visit(remote, words), visit(remote, words)]);
  assert.ok(answers.every((answer) => answer === words));
  assert.deepEqual(tunnel.phases.slice(tunnel.phases.indexOf('up')), ['up']);
});

async function useful(t: TestContext, server: OtherServer): Promise<void> {
  const echo = await startEcho();
  t.after(() => echo.close());
  const [remote, local, dynamic] = [await freePort(), await freePort(), await freePort()];
  const base = specFor(server, [[remote, echo.port]]);
  const target = { type: 'tcp', host: '127.0.0.1', port: echo.port } as const;
  const tunnel = startTunnel(t, {
    ...base,
    forwards: [
      ...base.forwards,
      { kind: 'local', listen: { type: 'tcp', host: '127.0.0.1', port: local }, target },
      { kind: 'dynamic', listen: { type: 'tcp', host: '127.0.0.1', port: dynamic }, target: { type: 'socks' } },
    ],
    serverAliveIntervalMs: 2000,
    serverAliveCountMax: 2,
  });
  const works = async (words: string) => {
    await tunnel.untilPhase('up');
    assert.equal(await visit(remote, words), words);
    assert.equal(await visit(local, words), words);
  };
  await works('hello');
  assert.equal(tunnel.state().forwards[0]?.verified, 'yes');
  await works('x'.repeat(5_000_000));
  const { code, socket } = await socks(dynamic, 5, 'localhost', echo.port);
  assert.equal(code, 0);
  socket.destroy();
  await Promise.all(
    Array.from({ length: 30 }, async (_, index) => assert.equal(await visit(remote, `${index}`), `${index}`)),
  );

  const ups = () => tunnel.phases.filter((phase) => phase === 'up').length;
  const lose = async (loss: () => unknown) => {
    const before = ups();
    await loss();
    await until(() => ups() > before, { what: 'the tunnel again' });
    await works('again');
  };
  await lose(server.killSessions);
  await lose(server.restart);
  assert.deepEqual(
    tunnel.lines.filter((line) => line['code'] === 'internal'),
    [],
  );
  await tunnel.stop();
  const report = await auditOf(base);
  assert.equal(report.failure, undefined);
  assert.ok(report.findings.some(({ hole, verdict }) => hole === 'connect-server' && verdict === 'open'));
  await assert.rejects(visit(remote, 'anybody?'), { code: 'ECONNREFUSED' });
}

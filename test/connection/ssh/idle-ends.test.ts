import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { recogniseIdleEnds, idleLimit } from '../../../src/connection/ssh/idle-ends.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { startDropbear } from '../../support/other-servers.ts';

const MINUTE = 60_000;

describe('a server that ends idle connections is told by its regularity', () => {
  const cases: readonly [string, readonly number[], number | null][] = [
    ['nothing known', [], null],
    ['twice may be chance', [5 * MINUTE, 5 * MINUTE], null],
    ['three times', [300_400, 300_900, 300_100], 300_100],
    ['sshd counts whole seconds', [4100, 4900, 5050], 4100],
    ['what came before is forgotten', [7, 90 * MINUTE, 300_000, 301_000, 300_500], 300_000],
    ['one is different', [300_000, 30_000, 300_000], null],
    ['it drifts', [300_000, 320_000, 340_000], null],
    ['a long time may vary more', [60 * MINUTE, 61 * MINUTE, 60.5 * MINUTE], 60 * MINUTE],
    ['hardly there', [100, 120, 90], null],
    ['restarted every day', [1440 * MINUTE, 1440 * MINUTE, 1440 * MINUTE], null],
  ];
  for (const [name, idles, expected] of cases) {
    test(`tells a limit by its regularity: ${name}`, () => assert.equal(idleLimit(idles), expected));
  }

  test('suspects an idle limit only when the server closed an unused connection', () => {
    const closed = new TunnelFailure('disconnected', 'closed');
    const silent = new TunnelFailure('keepalive-lost', 'silent');
    const ends = recogniseIdleEnds();
    for (const [failure, idleMs, named] of [
      [closed, 60_000, false],
      [closed, 60_000, false],
      [closed, 60_000, true],
      [closed, 60_500, true],
      [closed, null, false],
      [closed, 60_000, false],
      [closed, 60_000, false],
      [silent, 60_000, false],
      [closed, 60_000, false],
      [closed, 60_000, false],
      [closed, 60_000, true],
    ] as const) {
      const { code, message } = ends(failure, idleMs);
      assert.equal(code, failure.code);
      assert.equal(/^closed, as each time after about 1m without use: .*UnusedConnectionTimeout/.test(message), named);
    }
  });
});

describe('a real one', { concurrency: 2 }, () => {
  test("recognises the end when it is OpenSSH's UnusedConnectionTimeout", async (t) => {
    const sshd = await startSshd({ config: ['UnusedConnectionTimeout 3'] });
    t.after(() => sshd.stop());
    await named(t, sshd);
  });

  test("recognises the end when it is Dropbear's -I", async (t) => {
    if (!mayBuildNetworks(t)) return;
    await named(t, await startDropbear(t, '-I 3'));
  });
});

async function named(t: TestContext, server: Parameters<typeof specFor>[0]): Promise<void> {
  const echo = await startEcho();
  t.after(() => echo.close());
  // Keepalives do not count as use.
  const tunnel = startTunnel(t, specFor(server, [[await freePort(), echo.port]], { serverAliveIntervalMs: 1000 }));
  await until(() => tunnel.state().failure?.message.includes('UnusedConnectionTimeout'), {
    what: () => `the name of it, not ${tunnel.state().failure?.message}`,
  });
  assert.match(tunnel.state().failure?.message ?? '', /, as each time after about [1-9]s without use: /);
}

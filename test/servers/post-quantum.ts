/**
 * The key exchanges of today's servers (OpenSSH 10 and Dropbear 2025, of Debian 13), with rekeys in the middle of transfers: run by
 * `npm run test:trixie`, as root.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { startEcho } from '../support/echo.ts';
import { startModernDropbear } from '../support/modern-dropbear.ts';
import { startModernSshd } from '../support/modern-sshd.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort } from '../support/until.ts';

for (const [name, allowed] of [
  ['mlkem768x25519-sha256', null],
  ['sntrup761x25519-sha512', '-mlkem*'],
  ['sntrup761x25519-sha512@openssh.com', 'sntrup761x25519-sha512@openssh.com'],
] as const)
  test(
    `${name} is agreed on with OpenSSH 10, and keys are renewed with it by both sides`,
    { timeout: 120_000 },
    async (t) => {
      const sshd = await startModernSshd(t, [
        'RekeyLimit 1M',
        'LogLevel DEBUG1',
        ...(allowed === null ? [] : [`KexAlgorithms ${allowed}`]),
      ]);
      assert.equal(await transfer(t, sshd), name);
      const rekeys = sshd.log().match(/rekeying out/g)?.length ?? 0;
      assert.ok(rekeys >= 2, `${rekeys} rekeys`);
    },
  );

for (const name of ['mlkem768x25519-sha256', 'sntrup761x25519-sha512', 'sntrup761x25519-sha512@openssh.com'])
  test(`${name} is agreed on with Dropbear 2025, and keys are renewed with it`, { timeout: 120_000 }, async (t) => {
    assert.equal(await transfer(t, await startModernDropbear(t), [name]), name);
  });

/** The key exchange, after megabytes in both directions, during which we renew the keys as well. */
async function transfer(
  t: TestContext,
  server: Parameters<typeof specFor>[0],
  kexAlgorithms: readonly string[] | null = null,
): Promise<string | undefined> {
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const rekeyLimit = { bytes: 1024 ** 2, ms: null };
  const tunnel = startTunnel(t, specFor(server, [[port, echo.port]], { kexAlgorithms, rekeyLimit, compression: true }));
  await tunnel.untilPhase('up');
  const sent = randomBytes(4_000_000);
  const echoed = await buffer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }).end(sent));
  assert.ok(echoed.equals(sent));
  assert.deepEqual(tunnel.phases, ['connecting', 'authenticating', 'forwarding', 'up']);
  return tunnel.state().algorithms?.keyExchange;
}

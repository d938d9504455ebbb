/**
 * The key exchanges of an sshd of today (OpenSSH 10, of Debian 13), with rekeys in the middle of transfers: run by
 * `npm run test:trixie`, as root.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { pattern, startEcho } from '../support/echo.ts';
import { startModernSshd } from '../support/modern-sshd.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort } from '../support/until.ts';

for (const [name, allowed] of [
  ['mlkem768x25519-sha256', null],
  ['sntrup761x25519-sha512', '-mlkem*'],
  ['sntrup761x25519-sha512@openssh.com', 'sntrup761x25519-sha512@openssh.com'],
] as const)
  test(`${name} is agreed on with OpenSSH 10, and keys are renewed with it`, { timeout: 120_000 }, async (t) => {
    const sshd = await startModernSshd(t, [
      'RekeyLimit 1M',
      'LogLevel DEBUG1',
      ...(allowed === null ? [] : [`KexAlgorithms ${allowed}`]),
    ]);
    const echo = await startEcho();
    t.after(() => echo.close());
    const port = await freePort();
    const tunnel = startTunnel(t, specFor(sshd, [[port, echo.port]]));
    await tunnel.untilPhase('up');
    assert.equal(tunnel.state().algorithms?.keyExchange, name);
    const sent = pattern(0, 4_000_000);
    const echoed = await buffer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }).end(sent));
    assert.ok(echoed.equals(sent));
    const rekeys = sshd.log().match(/rekeying out/g)?.length ?? 0;
    assert.ok(rekeys >= 2, `${rekeys} rekeys`);
    assert.equal(tunnel.state().failure, null);
  });

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import type { Connection } from '#ssh2';
import { CIPHERTEXT_BYTES } from '../../../../src/connection/ssh2/kex/ml-kem.ts';
import { pattern, startEcho } from '../../../support/echo.ts';
import { startFakeSsh } from '../../../support/fake-server.ts';
import { answerHybrid, type Change } from '../../../support/hybrid-server.ts';
import { assertRetried, startAt } from '../../../support/hostile.ts';
import { startSshd } from '../../../support/sshd.ts';
import { specFor, startTunnel } from '../../../support/tunnel.ts';
import { freePort } from '../../../support/until.ts';

test('agrees with OpenSSH on what no quantum computer breaks, and renews keys with it in the middle of a transfer', async (t) => {
  const sshd = await startSshd({ everyKeyExchange: true, config: ['RekeyLimit 1M', 'LogLevel DEBUG1'] });
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  // We renew them as well, so that both begin at once now and then.
  const tunnel = startTunnel(t, specFor(sshd, [[port, echo.port]], { rekeyLimit: { bytes: 1_000_000, ms: null } }));
  await tunnel.untilPhase('up');
  assert.match(tunnel.state().algorithms?.keyExchange ?? '', /^sntrup761x25519-sha512(?:@openssh\.com)?$/);
  const sent = pattern(0, 3_000_000);
  const echoed = await buffer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }).end(sent));
  assert.ok(echoed.equals(sent));
  const rekeys = sshd.log().match(/ssh_set_newkeys: rekeying out/g)?.length ?? 0;
  assert.ok(rekeys >= 2, `${rekeys} rekeys`);
  assert.deepEqual([tunnel.state().failure, sshd.log().match(/Accepted publickey/g)?.length], [null, 1]);
});

test('logs in by mlkem768x25519-sha256, and by no answer that was changed on the way', async (t) => {
  const good = await startMlKemServer(t, (answer) => answer);
  const tunnel = await startAt(t, good.sshd, good.server.port);
  const { algorithms } = await tunnel.untilFailure('forward-refused');
  assert.equal(algorithms?.keyExchange, 'mlkem768x25519-sha256');
  await tunnel.stop();
  for (const [change, message] of [
    [(answer) => flipped(answer, 0), /signature verification failed/],
    [(answer) => flipped(answer, CIPHERTEXT_BYTES), /signature verification failed/],
    [(answer) => answer.subarray(1), /has 1119 bytes, not 1120/],
    [() => Buffer.alloc(0), /has 0 bytes, not 1120/],
    [(answer) => Buffer.concat([answer.subarray(0, CIPHERTEXT_BYTES), Buffer.alloc(32)]), /computing DH secret/],
  ] satisfies [Change, RegExp][]) {
    const { sshd, server } = await startMlKemServer(t, change);
    const refused = await startAt(t, sshd, server.port);
    await assertRetried(refused, server, 'handshake-failed', message);
    await refused.stop();
  }
});

function flipped(answer: Buffer, at: number): Buffer {
  const copy = Buffer.from(answer);
  copy[at]! ^= 1;
  return copy;
}

/** A server that has only this key exchange, lets everybody in, and grants nothing. */
async function startMlKemServer(t: TestContext, change: Change) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const config = { algorithms: { kex: ['mlkem768x25519-sha256' as never] } };
  const serve = (connection: Connection) => {
    answerHybrid(connection, change);
    connection.on('authentication', (attempt) => attempt.accept());
    connection.on('request', (_accept, reject) => reject?.());
  };
  return { sshd, server: await startFakeSsh(t, sshd, serve, config) };
}

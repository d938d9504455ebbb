import assert from 'node:assert/strict';
import { ml_kem768 as mlKem } from '@noble/post-quantum/ml-kem.js';
import { createHash, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import type { Connection } from '#ssh2';
import { CIPHERTEXT_BYTES, PUBLIC_KEY_BYTES } from '../../../../src/connection/ssh2/kex/ml-kem.ts';
import { pattern, startEcho } from '../../../support/echo.ts';
import { startFakeSsh } from '../../../support/fake-server.ts';
import { assertRetried, startAt } from '../../../support/hostile.ts';
import { startSshd } from '../../../support/sshd.ts';
import { specFor, startTunnel } from '../../../support/tunnel.ts';
import { freePort } from '../../../support/until.ts';

test('agrees with OpenSSH on what no quantum computer breaks, and renews keys with it in the middle of a transfer', async (t) => {
  const sshd = await startSshd({ config: ['RekeyLimit 1M', 'LogLevel DEBUG1'] });
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

/** What becomes of the server's half of the exchange. */
type Change = (answer: Buffer) => Buffer;

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
    const { _protocol: protocol } = connection as unknown as { _protocol: ServerProtocol };
    protocol.openHybrid = (exchange) => {
      exchange._dh = { computeSecret: (theirs) => answer(theirs, exchange, change) };
    };
    connection.on('authentication', (attempt) => attempt.accept());
    connection.on('request', (_accept, reject) => reject?.());
  };
  return { sshd, server: await startFakeSsh(t, sshd, serve, config) };
}

interface ServerProtocol {
  openHybrid(exchange: ServerExchange): void;
}

interface ServerExchange {
  _dh: { computeSecret(theirs: Buffer): Buffer };
  _public: Buffer;
}

/** The server's part of draft-ietf-sshm-mlkem-hybrid-kex. */
function answer(theirs: Buffer, exchange: ServerExchange, change: Change): Buffer {
  const { cipherText, sharedSecret } = mlKem.encapsulate(theirs.subarray(0, PUBLIC_KEY_BYTES));
  const own = generateKeyPairSync('x25519');
  const x = theirs.subarray(PUBLIC_KEY_BYTES).toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
  const point = Buffer.from(own.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  exchange._public = change(Buffer.concat([cipherText, point]));
  const shared = diffieHellman({ privateKey: own.privateKey, publicKey });
  return createHash('sha256').update(sharedSecret).update(shared).digest();
}

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { nativeCodec } from '../../../src/connection/ssh2/packets/native.ts';
import { watchReturns } from '../../../src/net/streams/lent-memory.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort } from '../../support/until.ts';

const RENEWALS = 1024 ** 2;

/** The same with the addon and without it. */
export function testSealing(native: boolean): void {
  let sshd: TestSshd;
  before(async () => {
    assert.equal(nativeCodec() !== null, native);
    watchReturns((memory) => memory.fill(0xdb));
    sshd = await startSshd({ config: ['RekeyLimit 1M', 'Compression yes'] });
  });
  after(async () => {
    watchReturns(null);
    await sshd.stop();
  });

  for (const [cipher, compression] of [
    ['aes128-gcm@openssh.com', false],
    ['aes256-gcm@openssh.com', true],
    ['chacha20-poly1305@openssh.com', false],
    ['aes128-ctr', false],
  ] as const)
    test(`carries visits at once with every byte right when both sides renew keys all the time, ${cipher}${compression ? ', compressed' : ''}`, async (t) => {
      const echo = await startEcho();
      t.after(() => echo.close());
      const port = await freePort();
      const spec = { ...specFor(sshd, [[port, echo.port]]), ciphers: [cipher], compression };
      const tunnel = startTunnel(t, { ...spec, rekeyLimit: { bytes: RENEWALS, ms: null } });
      await tunnel.untilPhase('up');
      const visit = async (bytes: number) => {
        const sent = randomBytes(bytes);
        const echoed = await buffer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }).end(sent));
        assert.ok(echoed.equals(sent));
      };
      await Promise.all([visit(4_000_000), visit(1_000_000), visit(70_000), visit(1), visit(0)]);
      assert.equal(tunnel.state().phase, 'up');
    });
}

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import ssh2 from '#ssh2';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { freePort, until } from '../../support/until.ts';
import { startGranting } from '../../support/granting-server.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';

const sshd = await startSshd({
  everyKeyExchange: true,
  config: ['LogLevel DEBUG1', 'RekeyLimit 1M', 'Compression yes'],
});
after(() => sshd.stop());

describe('a server that shows another host key when keys are renewed is left', { concurrency: 4 }, () => {
  for (const [cipher, mac] of [
    ['chacha20-poly1305@openssh.com', null],
    ['aes128-gcm@openssh.com', null],
    ['aes128-ctr', 'hmac-sha2-256'],
    ['aes128-ctr', 'hmac-sha2-256-etm@openssh.com'],
  ] as const) {
    test([cipher, mac].join(' '), async (t) => {
      const other = ssh2.utils.parseKey(readFileSync(sshd.clientKey));
      if (other instanceof Error) throw other;
      const { tunnel, connection, server } = await startGranting(t, sshd, {
        ciphers: [cipher],
        macs: mac === null ? null : [mac],
      });
      const { _protocol: protocol } = connection() as unknown as ServerSide;
      protocol._hostKeys = { 'ssh-ed25519': other };
      protocol.rekey();
      await tunnel.untilFailure('host-key-changed');
      await until(() => server.open() === 0, { what: 'the end of the connection' });
    });
  }
});

for (const [cipher, kex, bytes] of [
  ['chacha20-poly1305@openssh.com', 'sntrup761x25519-sha512@openssh.com', 1024 ** 2],
  ['aes128-gcm@openssh.com', 'curve25519-sha256', 1024 ** 2],
  // Less than a login has.
  ['aes128-ctr', 'diffie-hellman-group14-sha256', 16],
] as const)
  test(`nothing is lost when both sides renew keys after ${bytes} bytes, under load and with compression: ${cipher}`, async (t) => {
    const echo = await startEcho();
    t.after(() => echo.close());
    const port = await freePort();
    const spec = { ...specFor(sshd, [[port, echo.port]]), ciphers: [cipher], kexAlgorithms: [kex] };
    const tunnel = startTunnel(t, { ...spec, compression: true, rekeyLimit: { bytes, ms: null } });
    const before = sshd.log().length;
    await tunnel.untilPhase('up');
    const visit = async () => {
      const sent = Buffer.concat([randomBytes(900_000), Buffer.alloc(600_000, 'x'), randomBytes(900_000)]);
      const echoed = await buffer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }).end(sent));
      assert.ok(echoed.equals(sent));
    };
    await Promise.all([visit(), visit(), visit()]);
    const log = () => sshd.log().slice(before);
    const count = (pattern: RegExp) => log().match(pattern)?.length ?? 0;
    await until(() => count(/rekeying in/g) >= 3, { what: () => `rekeys: ${log()}` });
    assert.deepEqual(tunnel.phases, ['connecting', 'authenticating', 'forwarding', 'up']);
  });

/** Of ssh2's Connection: the keys that it shows, by their algorithm. */
interface ServerSide {
  readonly _protocol: { _hostKeys: Readonly<Record<string, unknown>>; rekey(): void };
}

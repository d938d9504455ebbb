import { after, before, describe, test } from 'node:test';
import ssh2 from '#ssh2';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { until } from '../../support/until.ts';
import { startGranting } from '../../support/granting-server.ts';

let sshd: TestSshd;
before(async () => {
  sshd = await startSshd();
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
      const other = ssh2.utils.parseKey(ssh2.utils.generateKeyPairSync('ed25519').private);
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

/** Of ssh2's Connection: the keys that it shows, by their algorithm. */
interface ServerSide {
  readonly _protocol: { _hostKeys: Readonly<Record<string, unknown>>; rekey(): void };
}

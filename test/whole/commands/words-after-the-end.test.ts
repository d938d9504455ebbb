import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { doctor } from '../../support/run-doctor.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd } from '../../support/sshd.ts';
import { sendPayload, startFakeSsh, uint32 } from '../../support/fake-server.ts';

const sshd = await startSshd();
after(() => sshd.stop());

/** Numbers of messages (RFC 4250 section 4.1.2). */
const CONFIRMATION = 91;
const EXTENDED_DATA = 95;
const EOF = 96;

for (const compression of ['no', 'yes'] as const) {
  test(`does not end doctor when a second stream is behind the end of every channel, compression ${compression}`, async (t) => {
    const { port } = await startFakeSsh(t, sshd, (connection, socket) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', (accept) => accept?.());
      const { _protocol: protocol } = connection as unknown as ServerSide;
      let opened = 0;
      protocol._handlers.CHANNEL_OPEN = (_self, { sender }) => {
        sendPayload(connection, CONFIRMATION, uint32(sender), uint32(opened++), uint32(1 << 20), uint32(1 << 15));
        sendPayload(connection, EOF, uint32(sender));
        for (let count = 0; count < 100; count++)
          sendPayload(connection, EXTENDED_DATA, uint32(sender), uint32(1), 'x'.repeat(1000));
        // In the midst of what is being written and read.
        if (opened === 20) socket.resetAndDestroy();
      };
    });
    const yaml = tunnelYaml(sshd, 'a', '8080:127.0.0.1:9', `    compression: ${compression}\n`)
      .replace(`port: ${sshd.port}`, `port: ${port}`)
      .replace(/userKnownHostsFile: .*/, 'strictHostKeyChecking: no');
    const { code, stderr, steps } = await doctor(t, `tunnels:\n${yaml}`);
    assert.equal(code, 1, stderr);
    assert.ok(steps.some(({ tunnel, step }) => tunnel === 'a' && step === 'forward'));
    assert.doesNotMatch(stderr, /Zlib|MaxListeners|Error|^ +at /m);
  });
}

/** Of ssh2's Connection. */
interface ServerSide {
  readonly _protocol: {
    readonly _handlers: { CHANNEL_OPEN(self: unknown, opening: { readonly sender: number }): void };
  };
}

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import type { Connection } from 'ssh2';
import { doctor } from '../../support/run-doctor.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd } from '../../support/sshd.ts';
import { PROGRAM, tunneld } from '../../support/tunneld.ts';
import { tempDir, until } from '../../support/until.ts';
import { sendPayload, startFakeSsh, uint32 } from '../../support/fake-server.ts';

/** Numbers of messages (RFC 4250 section 4.1.2). */
const OPEN = 90;
const CONFIRMATION = 91;

const WORDS = /the server broke the SSH protocol: it accepts no packet above 0 bytes/;

const sshd = await startSshd();
after(() => sshd.stop());

/** How a server names the packet size 0, which a library would write to for ever. */
const WAYS: readonly [title: string, attack: (connection: Connection) => void][] = [
  [
    'in a channel that it opens',
    (connection) => {
      connection.on('request', (accept) => {
        accept?.();
        sendPayload(
          connection,
          OPEN,
          'forwarded-tcpip',
          uint32(900),
          uint32(1 << 20),
          uint32(0),
          'localhost',
          uint32(8080),
          '127.0.0.1',
          uint32(1),
        );
      });
    },
  ],
  [
    'in the confirmation of ours',
    (connection) => {
      connection.on('request', (accept) => accept?.());
      const { _protocol: protocol } = connection as unknown as ServerSide;
      protocol._handlers.CHANNEL_OPEN = (_self, { sender }) =>
        sendPayload(connection, CONFIRMATION, uint32(sender), uint32(1), uint32(1 << 20), uint32(0));
    },
  ],
];

describe('a channel without room for a packet ends the commands, and they say why', { concurrency: 2 }, () => {
  for (const [title, attack] of WAYS) {
    test(`ends doctor, ${title}`, async (t) => {
      const { yaml } = await startServer(t, attack);
      const report = await doctor(t, yaml);
      assert.equal(report.code, 1, report.stderr);
      assert.ok(
        report.of('forward').some(({ result, seen }) => result === 'fail' && WORDS.test(seen)),
        report.stdout,
      );
    });

    test(`ends audit, ${title}`, async (t) => {
      const { yaml } = await startServer(t, attack);
      const dir = await tempDir(t);
      const config = join(dir, 'config.yaml');
      writeFileSync(config, `${yaml}stateDirectory: ${dir}\n`);
      const { code, stdout, stderr } = await tunneld(['audit', '--yes', '--config', config], { timeoutMs: 60_000 });
      assert.equal(code, 1, stderr);
      assert.match(stdout, WORDS);
      assert.match(stdout, /conclusion: /);
    });

    test(`ends init, which waits for a better server until it is interrupted, ${title}`, async (t) => {
      const { port } = await startServer(t, attack);
      const config = join(await tempDir(t), 'tunneld', 'config.yaml');
      const file = `${sshd.hostKeys[0]!.file}.pub`;
      const fingerprint = execFileSync('ssh-keygen', ['-lf', file], { encoding: 'utf8' }).split(' ')[1] ?? '';
      const init = spawn(
        process.execPath,
        [
          ...PROGRAM,
          'init',
          `me@127.0.0.1:${port}`,
          '--name',
          'new',
          '--config',
          config,
          '-R',
          '8080:localhost:22',
          '--host-key-fingerprint',
          fingerprint,
        ],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      t.after(() => init.kill('SIGKILL'));
      let said = '';
      init.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
      const ended = once(init, 'exit');
      await until(() => WORDS.test(said), { what: () => `the reason; ${said}`, timeoutMs: 60_000 });
      await until(() => said.includes('not yet: forward: '), { what: () => said });
      // One whose loop spins would not hear it.
      init.kill('SIGINT');
      await ended;
    });
  }
});

async function startServer(t: TestContext, attack: (connection: Connection) => void) {
  const { port } = await startFakeSsh(t, sshd, (connection) => {
    connection.on('authentication', (attempt) => attempt.accept());
    attack(connection);
  });
  const yaml = tunnelYaml(sshd, 'a', '8080:127.0.0.1:9')
    .replace(`port: ${sshd.port}`, `port: ${port}`)
    .replace(/userKnownHostsFile: .*/, 'strictHostKeyChecking: no');
  return { port, yaml: `tunnels:\n${yaml}` };
}

/** Of ssh2's Connection. */
interface ServerSide {
  readonly _protocol: {
    readonly _handlers: { CHANNEL_OPEN(self: unknown, opening: { readonly sender: number }): void };
  };
}

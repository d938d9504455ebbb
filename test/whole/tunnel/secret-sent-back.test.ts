import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { tempDir, until } from '../../support/until.ts';
import { sendPayload, startFakeServer, startFakeSsh, uint32 } from '../../support/fake-server.ts';

const SECRET = 'correct-horse-battery';

describe('a secret that comes back from whoever was given it', { concurrency: 2 }, () => {
  test('is masked when an HTTP proxy repeats our credentials', async (t) => {
    const sshd = await server(t);
    const proxy = await startFakeServer(t, (socket) =>
      socket.once('data', (request: Buffer) => {
        const [, basic] = /^proxy-authorization: Basic (.*)\r$/im.exec(request.toString()) ?? [];
        socket.end(`HTTP/1.1 407 No: ${basic} (${SECRET})\r\nContent-Length: 0\r\n\r\n`);
      }),
    );
    const entry = { type: 'http', host: '127.0.0.1', port: proxy.port, user: 'me', passwordFile: await secretFile(t) };
    const tunnel = startTunnel(t, specFor(sshd, [[1, 2]], { entry: { ...entry, type: 'http' } }));
    const { failure } = await tunnel.untilFailure('proxy-failed');
    assert.match(failure?.message ?? '', /answers 407 No: \*\*\* \(\*\*\*\)/);
    assertKept(tunnel);
  });

  test('is masked when a server repeats our password in a banner, a prompt and its goodbye', async (t) => {
    const sshd = await server(t);
    const fake = await startFakeSsh(t, sshd, (connection) =>
      connection.on('authentication', (attempt) => {
        if (attempt.method !== 'password') {
          attempt.reject(['password']);
          return;
        }
        sendPayload(connection, 53, `you say ${attempt.password}`, '');
        sendPayload(connection, 1, uint32(2), `I know now that it is ${attempt.password}`, '');
      }),
    );
    const known = join(sshd.dir, 'user_known_hosts');
    writeFileSync(known, sshd.knownHostsLine('127.0.0.1', fake.port));
    const tunnel = startTunnel(
      t,
      specFor(sshd, [[1, 2]], {
        port: fake.port,
        identityFiles: [],
        identityAgent: null,
        passwordFile: await secretFile(t),
        userKnownHostsFiles: [known],
      }),
    );
    await until(() => tunnel.state().failure !== null, { what: 'the goodbye' });
    assert.match(JSON.stringify(tunnel.lines), /you say \*\*\*/);
    assertKept(tunnel);
  });
});

async function server(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  return sshd;
}

async function secretFile(t: TestContext): Promise<string> {
  const file = join(await tempDir(t), 'secret');
  writeFileSync(file, `${SECRET}\n`, { mode: 0o600 });
  return file;
}

function assertKept(tunnel: TestTunnel): void {
  const shown = JSON.stringify([tunnel.lines, tunnel.state()]);
  for (const form of [SECRET, Buffer.from(SECRET).toString('base64'), Buffer.from(`me:${SECRET}`).toString('base64')])
    assert.ok(!shown.includes(form), `${form} in ${shown}`);
}

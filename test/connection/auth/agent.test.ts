import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startSshd } from '../../support/sshd.ts';
import { tempDir } from '../../support/until.ts';
import { startFakeAgent } from './fake-agent.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { hastyClock, logIn, makeKey, publicLine, specFor, startServer } from '../../support/login.ts';

test(
  'gives way to the next key when an agent does not sign, and the connection sees no error',
  { timeout: 60_000 },
  async (t) => {
    const sshd = await startSshd();
    t.after(() => sshd.stop());
    const dir = await tempDir(t);
    const key = makeKey(dir, 'key', '-t', 'ecdsa');
    appendFileSync(sshd.authorizedKeysFile, `${publicLine(key)}\n`);
    const table = [
      ['silent', () => {}, /no answer within 5 s/],
      ['refusing', (protocol, request) => protocol.failureReply(request), /failure/],
      ['leaving', (protocol) => protocol.destroy(), /the agent did not sign/],
      [
        'nonsense',
        (protocol, request) => protocol.signReply(request, Buffer.from([1, 2, 3])),
        /its signature was refused/,
      ],
    ] as const satisfies readonly (readonly [string, Parameters<typeof startFakeAgent>[3], RegExp])[];
    for (const [name, onSign, reason] of table) {
      const clock = name === 'silent' ? hastyClock : systemClock;
      const agent = await startFakeAgent(t, join(dir, `${name}.sock`), `${key}.pub`, onSign);
      const spec = specFor({ port: sshd.port, user: sshd.user, identityAgent: agent.socket });
      const withNext = await logIn({ ...spec, identityFiles: [`${key}.pub`, sshd.clientKey] }, { clock });
      assert.ok(withNext.ok, `${name}: ${withNext.message}`);
      assert.deepEqual(withNext.errors, [], name);
      await agent.left;
      const alone = await logIn(spec, { clock });
      assert.equal(alone.ok, false);
      assert.deepEqual(alone.errors, ['All configured authentication methods failed']);
      assert.match(alone.message, reason);
      assert.match(alone.message, /the server accepts publickey/);
    }
  },
);

test('leaves the other tunnels up when a connection dies while the agent is silent', { timeout: 60_000 }, async (t) => {
  const dir = await tempDir(t);
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const agent = await startFakeAgent(t, join(dir, 'agent.sock'), `${key}.pub`, () => {});
  // With compression from the start, ssh2 throws at whoever writes after the end: out of a timer, that would end the process.
  const compress = 'zlib' as const;
  const port = await startServer(
    t,
    makeKey(dir, 'host', '-t', 'ed25519'),
    (context) => (context.method === 'publickey' ? context.accept() : context.reject(['publickey'])),
    compress,
  );
  const identityFiles = [`${key}.pub`, makeKey(dir, 'next', '-t', 'ed25519')];
  const result = await logIn(specFor({ port, identityAgent: agent.socket, identityFiles }), {
    clock: hastyClock,
    compress,
    onSocket: (socket) => void agent.asked.then(() => socket.resetAndDestroy()),
  });
  assert.equal(result.ok, false);
  await agent.left; // the silence is over; what was thrown then would fail this test
});

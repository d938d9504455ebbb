import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { TunnelFailure } from '../../../src/model/failure.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { loadCredentials, type Credentials } from '../../../src/connection/auth/credentials.ts';
import { createIdentityCache } from '../../../src/connection/auth/identity-cache.ts';
import { tempDir } from '../../support/until.ts';
import { fingerprintOf, hastyClock, makeKey, specFor, startAgent } from '../../support/login.ts';

const PASSPHRASE = 'correct horse';

test('describes keys as ssh-keygen does, in the order of the configuration, each once', async (t) => {
  const dir = await tempDir(t);
  const [a, b] = [makeKey(dir, 'a', '-t', 'ed25519'), makeKey(dir, 'b', '-t', 'ecdsa')];
  const copy = join(dir, 'copy');
  copyFileSync(a, copy);
  const { identities, notes } = await load({ identityFiles: [b, a, copy] });
  assert.deepEqual(
    identities.map(({ source, path, comment, keyType, fingerprint }) => ({
      source,
      path,
      comment,
      keyType,
      fingerprint,
    })),
    [
      {
        source: 'file',
        path: b,
        comment: 'comment of b',
        keyType: 'ecdsa-sha2-nistp256',
        fingerprint: fingerprintOf(b),
      },
      { source: 'file', path: a, comment: 'comment of a', keyType: 'ssh-ed25519', fingerprint: fingerprintOf(a) },
    ],
  );
  assert.deepEqual(notes, []);
});

test('fails when a configured key cannot be used and is the only way, else notes it', async (t) => {
  const dir = await tempDir(t);
  const good = makeKey(dir, 'good', '-t', 'ed25519');
  const encrypted = makeKey(dir, 'encrypted', '-t', 'ed25519', '-N', PASSPHRASE);
  const open = makeKey(dir, 'open', '-t', 'ed25519');
  chmodSync(open, 0o640);
  writeFileSync(join(dir, 'password'), 'hunter2', { mode: 0o600 });
  const table = [
    [join(dir, 'missing'), 'key-unreadable', /missing does not exist/],
    [open, 'key-unreadable', /open has mode 0640.*chmod 600/],
    [encrypted, 'key-passphrase', /encrypted is encrypted, and there is no passphraseFile/],
    [`${good}.pub`, 'key-unreadable', /good\.pub is a public key/],
  ] as const;
  for (const [path, code, message] of table) {
    const failure = await fails({ identityFiles: [path] });
    assert.equal(failure.code, code);
    assert.match(failure.message, message);
    const withKey = await load({ identityFiles: [path, good] });
    assert.deepEqual(
      withKey.identities.map((identity) => identity.path),
      [good],
    );
    assert.match(withKey.notes.join(), message);
    const withPassword = await load({ identityFiles: [path], passwordFile: join(dir, 'password') });
    assert.deepEqual([withPassword.identities, withPassword.password], [[], 'hunter2']);
    assert.match(withPassword.notes.join(), message);
  }
  const both = await fails({ identityFiles: [encrypted, join(dir, 'missing')] });
  assert.equal(both.code, 'key-passphrase');
  assert.match(both.message, /encrypted is encrypted.*; .*missing does not exist/);
});

test("notes unusable keys of OpenSSH's own list, and does not mention those that are missing", async (t) => {
  const dir = await tempDir(t);
  const encrypted = makeKey(dir, 'id_rsa', '-t', 'ed25519', '-N', PASSPHRASE);
  const { identities, notes } = await load({
    identityFiles: [join(dir, 'id_ed25519'), encrypted],
    identityFilesConfigured: false,
  });
  assert.deepEqual(identities, []);
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? '', /id_rsa is encrypted/);
});

test('reads a passphrase from its file only when it is needed', async (t) => {
  const dir = await tempDir(t);
  const encrypted = makeKey(dir, 'encrypted', '-t', 'ed25519', '-N', PASSPHRASE);
  const plain = makeKey(dir, 'plain', '-t', 'ed25519');
  const passphraseFile = join(dir, 'passphrase');
  const missing = await fails({ identityFiles: [encrypted], passphraseFile });
  assert.equal(missing.code, 'key-unreadable');
  assert.match(missing.message, /passphraseFile .* does not exist/);
  assert.deepEqual((await load({ identityFiles: [plain], passphraseFile })).notes, []);

  writeFileSync(passphraseFile, `${PASSPHRASE}\n`, { mode: 0o644 });
  assert.match(
    (await fails({ identityFiles: [encrypted], passphraseFile })).message,
    /passphraseFile .* has mode 0644/,
  );
  chmodSync(passphraseFile, 0o600);
  assert.equal((await load({ identityFiles: [encrypted], passphraseFile })).identities.length, 1);
});

test('fails when a password file cannot be used and is the only way, else notes it', async (t) => {
  const dir = await tempDir(t);
  const passwordFile = join(dir, 'password');
  assert.match((await fails({ passwordFile })).message, /passwordFile .* does not exist/);
  const { notes } = await load({ passwordFile, identityFiles: [makeKey(dir, 'key', '-t', 'ed25519')] });
  assert.match(notes.join(), /passwordFile .* does not exist/);
});

test('does not fail when nothing is configured and nothing is there: some servers ask for nothing', async () => {
  const { identities, password } = await load({});
  assert.deepEqual([identities, password], [[], null]);
});

test("offers an agent's keys after the configured ones, and no others when identitiesOnly is set", async (t) => {
  const dir = await tempDir(t);
  const [file, both, other] = ['file', 'both', 'other'].map((name) => makeKey(dir, name, '-t', 'ed25519')) as [
    string,
    string,
    string,
  ];
  const identityAgent = await startAgent(t, dir, [both, other]);
  const shown = (credentials: Credentials) =>
    credentials.identities.map(
      ({ source, path, comment }) => `${source} ${path === null ? comment : path.slice(dir.length + 1)}`,
    );

  const all = await load({ identityAgent, identityFiles: [file, both] });
  assert.deepEqual(shown(all), ['file file', 'file both', 'agent comment of other']);
  assert.deepEqual(all.notes, []);
  assert.deepEqual(shown(await load({ identityAgent, identityFiles: [file], identitiesOnly: true })), ['file file']);
  // A public key as identityFile chooses one of the agent's, as with ssh.
  assert.deepEqual(shown(await load({ identityAgent, identityFiles: [`${other}.pub`], identitiesOnly: true })), [
    'agent other.pub',
  ]);
});

test('uses a key through the agent when only that has its private half', async (t) => {
  const dir = await tempDir(t);
  const open = makeKey(dir, 'open', '-t', 'ed25519');
  const gone = makeKey(dir, 'gone', '-t', 'ecdsa');
  const secret = makeKey(dir, 'secret', '-t', 'ed25519');
  const pem = makeKey(dir, 'pem', '-t', 'rsa', '-b', '2048', '-m', 'PEM');
  const identityAgent = await startAgent(t, dir, [secret, pem, gone, open]);
  encrypt(secret);
  rmSync(`${secret}.pub`); // its public half is also in the file itself
  encrypt(pem);
  rmSync(gone);
  chmodSync(open, 0o644);
  const { identities, notes } = await load({
    identityAgent,
    identityFiles: [secret, pem, gone, open],
    identitiesOnly: true,
  });
  assert.deepEqual(
    identities.map(({ source, path }) => [source, path]),
    [secret, pem, gone, open].map((path) => ['agent', path]),
  );
  assert.equal(notes.length, 1, notes.join('\n'));
  assert.match(notes[0] ?? '', /open has mode 0644/);
});

test('notes an agent when it is not there, hangs, or talks nonsense', async (t) => {
  const dir = await tempDir(t);
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const hanging = await listenAt(t, join(dir, 'hanging.sock'), () => {});
  const closing = await listenAt(t, join(dir, 'closing.sock'), (socket) => socket.destroy());
  const nonsense = await listenAt(t, join(dir, 'nonsense.sock'), (socket) =>
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  );
  const refusing = await listenAt(t, join(dir, 'refusing.sock'), (socket) =>
    socket.write(Buffer.from([0, 0, 0, 1, 5])),
  );
  const table = [
    [join(dir, 'missing.sock'), /ENOENT/],
    [join(dir, 'x'.repeat(200)), /identityAgent/],
    [hanging, /no answer within 5 s/],
    [closing, /identityAgent/],
    [nonsense, /identityAgent/],
    [refusing, /failure/],
  ] as const;
  for (const [identityAgent, message] of table) {
    const clock = identityAgent === hanging ? hastyClock : systemClock;
    const { identities, notes } = await load({ identityAgent, identityFiles: [key] }, clock);
    assert.deepEqual(
      identities.map(({ path }) => path),
      [key],
    );
    assert.equal(notes.length, 1);
    assert.match(notes[0] ?? '', message);
    const failure = await fails({ identityAgent, identityFiles: [join(dir, 'missing')] }, clock);
    assert.match(failure.message, /missing does not exist/);
    assert.match(failure.message, message);
  }
});

function encrypt(path: string): void {
  execFileSync('ssh-keygen', [
    '-q',
    '-p',
    '-a',
    '1',
    '-P',
    '',
    '-N',
    PASSPHRASE,
    ...(path.endsWith('pem') ? ['-m', 'PEM'] : []),
    '-f',
    path,
  ]);
}

async function load(changes: Partial<TunnelSpec>, clock = systemClock): Promise<Credentials> {
  return await loadCredentials(specFor(changes), createIdentityCache(), clock);
}

async function fails(changes: Partial<TunnelSpec>, clock = systemClock): Promise<TunnelFailure> {
  const failure = await load(changes, clock).then(
    () => assert.fail('credentials were loaded'),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof TunnelFailure);
  return failure;
}

/** A server at a Unix socket; the answer is its path. */
async function listenAt(t: TestContext, path: string, onConnection: (socket: Socket) => void): Promise<string> {
  const server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  return path;
}

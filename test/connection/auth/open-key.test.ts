import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import ssh2 from '#ssh2';
import { openKey } from '../../../src/connection/auth/open-key.ts';
import { watchTurns } from '../../support/loop-delay.ts';
import { startSshd } from '../../support/sshd.ts';
import { tempDir } from '../../support/until.ts';
import { logIn, makeKey, publicLine, specFor } from '../../support/login.ts';

const PASSPHRASE = 'correct horse';

test('keeps the event loop going while a key is decrypted, and keeps the comment of the key', async (t) => {
  const path = makeKey(await tempDir(t), 'key', '-t', 'ed25519', '-N', PASSPHRASE, '-a', '32');
  const turns = watchTurns();
  const key = await openKey({ bytes: readFileSync(path), passphrase: PASSPHRASE, path });
  const { total, longest } = turns();
  assert.ok(longest < total / 3, `${longest} of ${total} ms`);
  assert.equal(`${key.type} ${key.getPublicSSH().toString('base64')} ${key.comment}`, publicLine(path));
});

test('reports what is wrong with an encrypted key as it is when the thread finds it', async (t) => {
  const path = makeKey(await tempDir(t), 'key', '-t', 'ed25519', '-N', PASSPHRASE, '-a', '2');
  const open = (bytes: Buffer) => openKey({ bytes, passphrase: 'battery staple', path });
  await assert.rejects(open(readFileSync(path)), { code: 'key-passphrase', message: /passphrase is wrong/ });
  await assert.rejects(open(Buffer.from('nothing')), { code: 'key-unreadable', message: /holds no private key/ });
});

test('signs in a thread when the key is RSA, nothing of it in ours', async (t) => {
  const dir = await tempDir(t);
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const path = makeKey(dir, 'key', '-t', 'rsa', '-b', '2048');
  writeFileSync(sshd.authorizedKeysFile, publicLine(path));
  const parsed = ssh2.utils.parseKey(readFileSync(path));
  assert.ok(!(parsed instanceof Error));
  let owner: object = parsed;
  while (!Object.hasOwn(owner, 'sign')) owner = Object.getPrototypeOf(owner) as object;
  t.mock.method(owner as { sign(): Error }, 'sign', () => new Error('in our thread'));
  const result = await logIn(specFor({ port: sshd.port, user: sshd.user, identityFiles: [path] }));
  assert.deepEqual([result.ok, result.errors], [true, []]);
});

test('reads a file at once when it is full of beginnings', async () => {
  const bytes = Buffer.from('-----BEGIN RSA PRIVATE KEY-----\n-----BEGIN A1 PRIVATE KEY-----\n'.repeat(16_000));
  const from = performance.now();
  await assert.rejects(openKey({ bytes, passphrase: null, path: 'key' }), /holds no private key/);
  // Compared every beginning with every end this would take minutes.
  assert.ok(performance.now() - from < 10_000);
});

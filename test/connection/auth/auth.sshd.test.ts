import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { tempDir } from '../../support/until.ts';
import { fingerprintOf, logIn, makeKey, publicLine, specFor, startAgent } from '../../support/login.ts';

test('says who was refused, what was offered, and what the server takes, when a login is refused', async (t) => {
  const { sshd, dir } = await setUp(t);
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const other = makeKey(dir, 'other', '-t', 'ecdsa');
  const result = await logIn(
    specFor({
      port: sshd.port,
      user: sshd.user,
      identityFiles: [key],
      identityAgent: await startAgent(t, dir, [other]),
    }),
  );
  assert.equal(result.ok, false);
  assert.deepEqual(result.errors, ['All configured authentication methods failed']);
  assert.equal(
    result.message,
    `127.0.0.1:${sshd.port} refused user ${sshd.user}: offered ed25519 ${fingerprintOf(key)} (${key}), ` +
      `ecdsa-sha2-nistp256 ${fingerprintOf(other)} (agent comment of other); the server accepts publickey`,
  );
  assert.deepEqual(
    result.report.offers.map(({ result: outcome }) => outcome.type),
    ['refused', 'refused'],
  );
});

test('holds no key when it reports a refusal', async (t) => {
  const { sshd, dir } = await setUp(t);
  const result = await logIn(
    specFor({ port: sshd.port, user: sshd.user, identityFiles: [makeKey(dir, 'key', '-t', 'ed25519')] }),
  );
  assert.deepEqual(Object.keys(result.report.offers[0]?.key ?? {}), [
    'source',
    'path',
    'comment',
    'keyType',
    'fingerprint',
  ]);
});

test('logs in with keys of every type when a real agent holds them', async (t) => {
  const { sshd, dir } = await setUp(t);
  for (const [index, args] of [
    ['ed25519'],
    ['rsa', '-b', '2048'],
    ['ecdsa', '-b', '256'],
    ['ecdsa', '-b', '521'],
  ].entries()) {
    const key = makeKey(dir, `key${index}`, '-t', ...args);
    appendFileSync(sshd.authorizedKeysFile, `${publicLine(key)}\n`);
    const identityAgent = await startAgent(t, await tempDir(t), [key]);
    const result = await logIn(specFor({ port: sshd.port, user: sshd.user, identityAgent }));
    assert.ok(result.ok, `${args.join(' ')}: ${result.message}`);
    assert.deepEqual(result.errors, []);
  }
});

test('logs in without the passphrase when an agent holds an encrypted key', async (t) => {
  const { sshd, dir } = await setUp(t);
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const identityAgent = await startAgent(t, dir, [key]);
  execFileSync('ssh-keygen', ['-q', '-p', '-a', '1', '-P', '', '-N', 'correct horse', '-f', key]);
  appendFileSync(sshd.authorizedKeysFile, `${publicLine(key)}\n`);
  const result = await logIn(
    specFor({ port: sshd.port, user: sshd.user, identityFiles: [key], identityAgent, identitiesOnly: true }),
  );
  assert.ok(result.ok, result.message);
  assert.deepEqual(
    result.report.offers.map((offer) => [offer.key?.source, offer.key?.path]),
    [['agent', key]],
  );
});

test('offers the configured key before the many of an agent when MaxAuthTries is low', async (t) => {
  const { sshd, dir } = await setUp(t, { config: ['MaxAuthTries 3'] });
  const many = ['a', 'b', 'c', 'd', 'e'].map((name) => makeKey(dir, name, '-t', 'ed25519'));
  const identityAgent = await startAgent(t, dir, many);
  const spec = specFor({ port: sshd.port, user: sshd.user, identityAgent });
  const refused = await logIn(spec);
  assert.equal(refused.ok, false);
  assert.match(refused.errors[0] ?? '', /Too many authentication failures/);
  // The question without a key, which comes first, is not counted by sshd.
  assert.equal(refused.report.offers.length, 3);
  assert.ok((await logIn({ ...spec, identityFiles: [sshd.clientKey] })).ok);
});

test('advises identitiesOnly when five keys of an agent were refused', async (t) => {
  const { sshd, dir } = await setUp(t);
  const identityAgent = await startAgent(
    t,
    dir,
    ['a', 'b', 'c', 'd', 'e'].map((name) => makeKey(dir, name, '-t', 'ed25519')),
  );
  const result = await logIn(specFor({ port: sshd.port, user: sshd.user, identityAgent }));
  assert.match(result.message, /identitiesOnly: yes/);
});

test('sends two keys, from files and from an agent, when a server wants two', async (t) => {
  const { sshd, dir } = await setUp(t, { config: ['AuthenticationMethods publickey,publickey'] });
  const second = makeKey(dir, 'second', '-t', 'rsa', '-b', '2048');
  const third = makeKey(dir, 'third', '-t', 'ed25519');
  appendFileSync(sshd.authorizedKeysFile, `${publicLine(second)}\n${publicLine(third)}\n`);
  const identityAgent = await startAgent(t, dir, [second, third]);
  const spec = specFor({ port: sshd.port, user: sshd.user });
  for (const ways of [
    { identityFiles: [sshd.clientKey, second] },
    { identityFiles: [sshd.clientKey], identityAgent },
    { identityFiles: [`${second}.pub`, sshd.clientKey], identityAgent },
    { identityAgent },
  ]) {
    const result = await logIn({ ...spec, ...ways });
    assert.ok(result.ok, result.message);
    assert.deepEqual(
      result.report.offers.map(({ result: outcome }) => outcome.type),
      ['partial', 'pending'],
    );
  }
  const one = await logIn({ ...spec, identityFiles: [sshd.clientKey] });
  assert.match(one.message, /\[accepted, but not enough\]; the server accepts publickey/);
});

test('sends no password when sshd takes none', async (t) => {
  const { sshd, dir } = await setUp(t);
  const passwordFile = join(dir, 'password');
  writeFileSync(passwordFile, 'hunter2', { mode: 0o600 });
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const result = await logIn(specFor({ port: sshd.port, user: sshd.user, identityFiles: [key], passwordFile }));
  assert.deepEqual(
    result.report.offers.map(({ method }) => method),
    ['publickey'],
  );
});

test('asks the server what it takes when there is nothing to offer', async (t) => {
  const { sshd } = await setUp(t);
  const result = await logIn(specFor({ port: sshd.port, user: sshd.user }));
  assert.match(result.message, /^nothing to offer to 127\.0\.0\.1:\d+ for user \S+; the server accepts publickey$/);
});

async function setUp(t: TestContext, options: SshdOptions = {}): Promise<{ sshd: TestSshd; dir: string }> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return { sshd, dir: await tempDir(t) };
}

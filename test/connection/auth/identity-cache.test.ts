import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ParsedKey } from 'ssh2';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { TunnelFailure } from '../../../src/model/failure.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { loadCredentials } from '../../../src/connection/auth/credentials.ts';
import { createIdentityCache, type IdentityCache } from '../../../src/connection/auth/identity-cache.ts';
import { tempDir } from '../../support/until.ts';
import { makeKey, specFor } from '../../support/login.ts';

const PASSPHRASE = 'correct horse';

test('decrypts a key once while its file and its passphrase stay the same', async (t) => {
  const dir = await tempDir(t);
  const path = makeKey(dir, 'key', '-t', 'ed25519', '-N', PASSPHRASE);
  const passphraseFile = secretFile(dir, PASSPHRASE);
  const cache = createIdentityCache();
  const load = loader(cache, { identityFiles: [path], passphraseFile });
  const first = await load();
  assert.equal(await load(), first);
  writeFileSync(path, readFileSync(makeKey(dir, 'other', '-t', 'ed25519', '-N', PASSPHRASE)));
  const second = await load();
  assert.notDeepEqual(second.getPublicSSH(), first.getPublicSSH());
});

test('shares a key between two tunnels, unless they open it in different ways', async (t) => {
  const dir = await tempDir(t);
  const path = makeKey(dir, 'key', '-t', 'ed25519', '-N', PASSPHRASE);
  const passphraseFile = secretFile(dir, PASSPHRASE);
  const cache = createIdentityCache();
  const one = loader(cache, { name: 'one', identityFiles: [path], passphraseFile });
  const two = loader(cache, { name: 'two', identityFiles: [path], passphraseFile });
  const three = loader(cache, { name: 'three', identityFiles: [path], jumps: [] });
  assert.equal(await one(), await two());
  await fails(three, /there is no passphraseFile/);
  assert.equal(await one(), await two());
});

test('opens a key again as soon as the cause of a failure is gone', async (t) => {
  const dir = await tempDir(t);
  const path = makeKey(dir, 'key', '-t', 'ed25519', '-N', PASSPHRASE);
  const content = readFileSync(path);
  const passphraseFile = secretFile(dir, 'battery staple');
  const load = loader(createIdentityCache(), { identityFiles: [path], passphraseFile });
  await fails(load, /passphrase is wrong/);
  await fails(load, /passphrase is wrong/);
  writeFileSync(passphraseFile, PASSPHRASE);
  await load();
  chmodSync(path, 0o644);
  await fails(load, /has mode 0644/);
  chmodSync(path, 0o600);
  await load();
  writeFileSync(path, 'garbage');
  await fails(load, /no private key/);
  rmSync(path);
  await fails(load, /does not exist/);
  writeFileSync(path, content, { mode: 0o600 });
  await load();
});

test('forgets a key when its file is closed to us or gone, or no tunnel names it any more', async (t) => {
  const dir = await tempDir(t);
  const path = makeKey(dir, 'key', '-t', 'ed25519');
  const cache = createIdentityCache();
  const load = loader(cache, { identityFiles: [path], jumps: [] });
  const held = async () => {
    const before = await load();
    return async () => (await load()) === before;
  };
  const kept = await held();
  cache.retain([{ name: 'test', identityFiles: [path], jumps: [] }]);
  assert.equal(await kept(), true);
  cache.retain([{ name: 'test', identityFiles: [join(dir, 'other')], jumps: [] }]);
  assert.equal(await kept(), false);

  const exposed = await held();
  chmodSync(path, 0o644);
  await fails(load, /has mode 0644/);
  chmodSync(path, 0o600);
  assert.equal(await exposed(), false);

  const removed = await held();
  const content = readFileSync(path);
  rmSync(path);
  await fails(load, /does not exist/);
  writeFileSync(path, content, { mode: 0o600 });
  assert.equal(await removed(), false);
});

test('reports notes to each tunnel once, and again when they come back', () => {
  const cache = createIdentityCache();
  assert.deepEqual(cache.newNotes('a', ['x', 'y']), ['x', 'y']);
  assert.deepEqual(cache.newNotes('a', ['y', 'z']), ['z']);
  assert.deepEqual(cache.newNotes('b', ['z']), ['z']);
  assert.deepEqual(cache.newNotes('a', []), []);
  assert.deepEqual(cache.newNotes('a', ['y']), ['y']);
  cache.retain([{ name: 'a', identityFiles: [], jumps: [] }]);
  assert.deepEqual(cache.newNotes('a', ['y']), []);
  assert.deepEqual(cache.newNotes('b', ['z']), ['z']);
});

/** Loads the only key of a tunnel. */
function loader(cache: IdentityCache, changes: Partial<TunnelSpec>): () => Promise<ParsedKey> {
  return async () => {
    const [identity] = (await loadCredentials(specFor(changes), cache, systemClock)).identities;
    assert.ok(identity !== undefined);
    assert.ok(identity.key);
    return identity.key;
  };
}

async function fails(load: () => Promise<ParsedKey>, message: RegExp): Promise<void> {
  await assert.rejects(load, (error) => error instanceof TunnelFailure && message.test(error.message));
}

function secretFile(dir: string, content: string): string {
  const path = join(dir, 'passphrase');
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

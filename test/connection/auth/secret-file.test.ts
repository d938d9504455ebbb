import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { isExposed, isMissing, readPrivateFile, readSecretFile } from '../../../src/connection/auth/secret-file.ts';
import { tempDir } from '../../support/until.ts';

test('takes the first line as it stands', async (t) => {
  const dir = await tempDir(t);
  // No ordinary words: they are masked in all that is said in this process from here on.
  const table: readonly [string, string][] = [
    ['s3cr3t-file', 's3cr3t-file'],
    ['s3cr3t-file\n', 's3cr3t-file'],
    ['s3cr3t-file\r\nrest\n', 's3cr3t-file'],
    [' tw0 w0rds \nrest', ' tw0 w0rds '],
    ['pässwörd\n', 'pässwörd'],
  ];
  for (const [content, secret] of table) {
    const path = join(dir, 'secret');
    writeFileSync(path, content, { mode: 0o600 });
    assert.equal(await readSecretFile(path, 'passphraseFile'), secret);
  }
});

test('refuses a file when it has no secret', async (t) => {
  const dir = await tempDir(t);
  for (const content of ['', '\n', '\nsecret\n']) {
    const path = join(dir, 'secret');
    writeFileSync(path, content, { mode: 0o600 });
    await refuses(path, /passwordFile .* is empty/);
  }
});

test('refuses a file with mode and cure when others can use it, and takes it when it is mended', async (t) => {
  const path = join(await tempDir(t), 'secret');
  writeFileSync(path, 'hunter2\n');
  for (const mode of [0o640, 0o604, 0o620, 0o601, 0o777]) {
    chmodSync(path, mode);
    await refuses(path, new RegExp(`has mode 0${mode.toString(8)}.*chmod 600 ${path}`));
  }
  const spaced = `${path} of mine`;
  writeFileSync(spaced, 'hunter2\n');
  chmodSync(spaced, 0o640);
  await refuses(spaced, new RegExp(`\`chmod 600 '${spaced}'\``));
  for (const mode of [0o600, 0o400, 0o700]) {
    chmodSync(path, mode);
    assert.equal(await readSecretFile(path, 'passwordFile'), 'hunter2');
  }
});

test("takes a credential of systemd's when its group may read it", async (t) => {
  const dir = await tempDir(t);
  const path = join(dir, 'secret');
  writeFileSync(path, 'hunter2\n');
  chmodSync(path, 0o440);
  await refuses(path, /has mode 0440/);
  process.env['CREDENTIALS_DIRECTORY'] = dir;
  t.after(() => delete process.env['CREDENTIALS_DIRECTORY']);
  assert.equal(await readSecretFile(path, 'passwordFile'), 'hunter2');
  chmodSync(path, 0o444);
  await refuses(path, /has mode 0444/);
  // A neighbour whose name begins alike is no credential.
  process.env['CREDENTIALS_DIRECTORY'] = dir.slice(0, -1);
  chmodSync(path, 0o440);
  await refuses(path, /has mode 0440/);
});

test('judges only files of its own user, as ssh does', () => {
  assert.equal(isExposed({ uid: 1000, mode: 0o100644 }, 1000, false), true);
  assert.equal(isExposed({ uid: 0, mode: 0o100640 }, 1000, false), false);
  assert.equal(isExposed({ uid: 1000, mode: 0o100600 }, 1000, false), false);
  assert.equal(isExposed({ uid: 1000, mode: 0o100440 }, 1000, true), false);
  assert.equal(isExposed({ uid: 1000, mode: 0o100460 }, 1000, true), true);
});

test('refuses without hanging when a path is no small regular file', { timeout: 60_000 }, async (t) => {
  const dir = await tempDir(t);
  const fifo = join(dir, 'fifo');
  execFileSync('mkfifo', ['-m', '600', fifo]);
  await refuses(fifo, /is not a regular file/);
  mkdirSync(join(dir, 'folder'), { mode: 0o700 });
  await refuses(join(dir, 'folder'), /is not a regular file/);
  await refuses('/dev/zero', /is not a regular file/);
  writeFileSync(join(dir, 'big'), Buffer.alloc(1024 * 1024 + 1), { mode: 0o600 });
  await refuses(join(dir, 'big'), /larger than 1 MiB/);
});

test('tells a missing file from one that cannot be read', async (t) => {
  const dir = await tempDir(t);
  const missing = await refuses(join(dir, 'missing'), /does not exist/);
  assert.equal(isMissing(missing), true);
  writeFileSync(join(dir, 'file'), '');
  assert.equal(isMissing(await refuses(join(dir, 'file', 'below'), /does not exist/)), true);
  symlinkSync('loop', join(dir, 'loop'));
  assert.equal(isMissing(await refuses(join(dir, 'loop'), /cannot be read: .*ELOOP/)), false);
});

test('hands the content of an exposed file over with the objection, for what is public in it', async (t) => {
  const path = join(await tempDir(t), 'id.pub');
  writeFileSync(path, 'ssh-ed25519 AAAA\n');
  chmodSync(path, 0o644);
  const { bytes, exposure } = await readPrivateFile(path, 'identityFile');
  assert.equal(bytes.toString(), 'ssh-ed25519 AAAA\n');
  assert.equal(exposure?.code, 'key-unreadable');
});

async function refuses(path: string, message: RegExp): Promise<TunnelFailure> {
  const failure = await readSecretFile(path, 'passwordFile').then(
    () => assert.fail(`${path} was read`),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof TunnelFailure);
  assert.equal(failure.code, 'key-unreadable');
  assert.match(failure.message, message);
  assert.doesNotMatch(failure.message, /hunter2/);
  return failure;
}

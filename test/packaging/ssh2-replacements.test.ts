import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import ssh2 from '#ssh2';
import { REPLACED_FILES, REPLACEMENTS, replaced, replacedFile } from '../../packaging/ssh2-replacements.mjs';
import { tempDir } from '../support/until.ts';

const require = createRequire(import.meta.url);
const folder = dirname(require.resolve('ssh2/package.json'));

test('fits the library that is installed, says what it is for, and does nothing a second time', () => {
  for (const file of REPLACED_FILES) {
    const text = readFileSync(join(folder, file), 'utf8');
    const once = replacedFile(folder, join(folder, file));
    assert.notEqual(once, text, file);
    assert.equal(replaced(file, once), once, file);
  }
  for (const { for: reason } of REPLACEMENTS) assert.ok(reason.length > 30, reason);
});

test('fails loudly when a text is not the known one, is there twice, or is of another version', async (t) => {
  const one = [{ file: 'a.js', for: 'a test', find: 'old', put: 'new' }];
  assert.equal(replaced('a.js', 'an old one', one), 'an new one');
  assert.equal(replaced('b.js', 'an old one', one), 'an old one');
  assert.throws(() => replaced('a.js', 'another', one), /a\.js of ssh2 differs from the text/);
  assert.throws(() => replaced('a.js', 'old, old', one), /a\.js of ssh2 differs from the text/);
  const copy = await tempDir(t);
  cpSync(folder, copy, { recursive: true });
  const manifest = join(copy, 'package.json');
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/"version": "[^"]+"/, '"version": "99.0.0"'));
  assert.throws(() => replacedFile(copy, join(copy, 'lib/client.js')), /ssh2 is 99\.0\.0/);
});

test('loads the library with all replacements when tests import it', () => {
  const loaded = new Map(Object.values(require.cache).map((module) => [module?.filename, module?.exports]));
  assert.equal(loaded.get(join(folder, 'lib/index.js')), ssh2);
  const crypto = loaded.get(join(folder, 'lib/protocol/crypto.js')) as { bindingAvailable: boolean; init: unknown };
  const { onKEXPayload } = loaded.get(join(folder, 'lib/protocol/kex.js')) as { onKEXPayload: () => void };
  assert.match(String(onKEXPayload), /this\._kex\.sessionID/);
  assert.ok(crypto.init instanceof Promise);
});

test('loads what decrypts keys when the first key is encrypted', async (t) => {
  const isLoaded = () => Object.keys(require.cache).some((path) => path.includes('/bcrypt-pbkdf/'));
  const dir = await tempDir(t);
  const makeKey = (name: string, passphrase: string) => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-a', '1', '-N', passphrase, '-f', join(dir, name)]);
    return readFileSync(join(dir, name));
  };
  assert.ok(!(ssh2.utils.parseKey(makeKey('open', '')) instanceof Error));
  assert.equal(isLoaded(), false);
  assert.ok(!(ssh2.utils.parseKey(makeKey('encrypted', 'secret'), 'secret') instanceof Error));
  assert.equal(isLoaded(), true);
});

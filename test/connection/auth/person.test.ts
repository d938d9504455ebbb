import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadCredentials } from '../../../src/connection/auth/credentials.ts';
import { createIdentityCache } from '../../../src/connection/auth/identity-cache.ts';
import { askSecret, passPrompts } from '../../../src/connection/auth/person.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { printable } from '../../../src/lib/text.ts';
import { specFor } from '../../support/login.ts';
import { tempDir } from '../../support/until.ts';

const PASSPHRASE = 'open sesame now';

test('asks for the passphrase of an encrypted key, and goes without the key where it is wrong or not given', async (t) => {
  const key = join(await tempDir(t), 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-a', '1', '-N', PASSPHRASE, '-f', key]);
  for (const [typed, count] of [
    [PASSPHRASE, 1],
    ['wrong one', 0],
    ['', 0],
  ] as const) {
    const asked: string[] = [];
    const person = {
      answer: (prompt: string, secret: boolean) => {
        assert.equal(secret, true);
        asked.push(prompt);
        return Promise.resolve(typed);
      },
    };
    const spec = specFor({ identityFiles: [key], identityFilesConfigured: true });
    const { identities } = await loadCredentials(spec, createIdentityCache(), systemClock, person);
    assert.equal(identities.length, count, typed);
    assert.deepEqual(asked, [`Enter the passphrase of the key ${key} (empty: without this key): `]);
  }
});

test('passes the prompts of keyboard-interactive on, escaped, and shows no secret answer', async () => {
  const asked: (readonly [string, boolean])[] = [];
  const person = {
    answer: (prompt: string, secret: boolean) => {
      asked.push([prompt, secret]);
      return Promise.resolve(secret ? '123456' : 'yes');
    },
  };
  const prompt = passPrompts(person, 'me@relay', assert.fail);
  const answers = await new Promise<readonly string[]>((resolve) =>
    prompt(
      'PAM',
      '',
      '',
      [
        { prompt: 'Code: \u001b[31m', echo: false },
        { prompt: 'Sure?', echo: true },
      ],
      resolve,
    ),
  );
  assert.deepEqual(answers, ['123456', 'yes']);
  assert.deepEqual(asked, [
    ['(me@relay) PAM\n(me@relay) Code: \\x1b[31m', true],
    ['(me@relay) Sure?', false],
  ]);
});

test('gives up where the person does, and where a server asks without end', async () => {
  const nobody = { answer: () => Promise.resolve('') };
  await new Promise<void>((resolve) =>
    passPrompts(nobody, 'me@relay', resolve)('', '', '', [{ prompt: 'Password: ', echo: false }], () => assert.fail()),
  );
  await new Promise<void>((resolve) => {
    const prompt = passPrompts(nobody, 'me@relay', resolve);
    for (let round = 0; round < 11; round += 1) prompt('', '', '', [], () => {});
  });
});

test('masks what was typed when a server sends it back', async () => {
  await askSecret({ answer: () => Promise.resolve('tell no one') }, 'Password: ');
  assert.equal(printable('is it "tell no one"?'), 'is it "***"?');
});

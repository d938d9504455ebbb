import assert from 'node:assert/strict';
import { test } from 'node:test';
import ssh2 from '#ssh2';
import { newKeyPair } from '../../src/demo/key-pair.ts';

test('makes another pair when the library has dropped a byte of the public key', () => {
  const good = newKeyPair('a comment');
  const lines = good.private.trimEnd().split('\n');
  const damaged = { ...good, private: [...lines.slice(0, -2), lines.at(-1)].join('\n') };
  assert.ok(ssh2.utils.parseKey(damaged.private) instanceof Error);
  const made = [damaged, good];
  assert.equal(
    newKeyPair('', () => made.shift()!),
    good,
  );
  assert.match(good.public, /^ssh-ed25519 \S+ a comment$/);
});

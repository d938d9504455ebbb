// Secrets are of the whole process, in which the tests of other files may have registered theirs: no word here is one of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registerSecret, maskSecrets } from '../../src/lib/secrets.ts';
import { printable } from '../../src/lib/text.ts';

test('masks a secret when it is sent back, in the forms in which it was sent', () => {
  registerSecret('correct horse', 'me');
  const basic = Buffer.from('me:correct horse').toString('base64');
  const plain = Buffer.from('correct horse').toString('base64');
  for (const [text, masked] of [
    ['you said "correct horse", twice: correct horse', 'you said "***", twice: ***'],
    [`Basic ${basic} is wrong`, 'Basic *** is wrong'],
    [`${plain}?`, '***?'],
    ['cut short: correct ho', 'cut short: ***'],
    [`cut short: ${basic.slice(0, 9)}`, 'cut short: ***'],
    ['correctly said', 'correctly said'],
    ['cor', 'cor'],
  ] as const) {
    assert.equal(maskSecrets(text), masked);
    assert.equal(printable(text), masked);
  }
  assert.equal(printable(`${'x'.repeat(295)}correct horse`), `${'x'.repeat(295)}***`);
});

test('masks nothing when it is too short to be a secret, and keeps those of some hundred tunnels', () => {
  registerSecret('an');
  assert.equal(maskSecrets('another man'), 'another man');
  for (let i = 0; i < 500; i++) registerSecret(`secret number ${i} of many`);
  assert.equal(maskSecrets('secret number 1 of many'), '***');
  for (let i = 500; i < 700; i++) registerSecret(`secret number ${i} of many`);
  assert.equal(maskSecrets('secret number 699 of many'), '***');
  assert.match(maskSecrets('secret number 0 of many'), /number 0/);
});

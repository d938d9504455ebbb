import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expandTokens, tokensOf, tokenValues } from '../../../src/config/ssh-config/tokens.ts';
import { BadValue } from '../../../src/config/values/value.ts';

const values = tokenValues({
  host: 'real.example.org',
  originalHost: 'web',
  port: 2222,
  user: 'alice',
  hostKeyAlias: null,
  jump: 'gw',
  localHost: 'box.example.org',
  env: { home: '/home/pi', userName: 'pi', uid: 1000 },
});

test('gives every token its value when a keyword has it', () => {
  const text = '%%|%d|%h|%i|%j|%k|%L|%l|%n|%p|%r|%u';
  const expected = '%|/home/pi|real.example.org|1000|gw|web|box|box.example.org|web|2222|alice|pi';
  assert.equal(expandTokens(text, tokensOf('identityfile'), values), expected);
});

test('makes %k the alias when there is one', () => {
  const source = { host: 'h', originalHost: 'o', port: 22, user: 'u', jump: '', localHost: 'l' };
  const env = { home: '/', userName: 'u', uid: 1 };
  assert.equal(tokenValues({ ...source, hostKeyAlias: 'alias', env })['k'], 'alias');
});

test('makes %C the hash of the connection', () => {
  // printf %s box.example.orgreal.example.org2222alice | sha1sum
  assert.equal(expandTokens('%C', tokensOf('include'), values), 'f5ebc9ff13cdca03408fee90c0ee8efc999462c2');
});

test('does not expand a value again when it holds tokens', () => {
  assert.equal(expandTokens('%h%%h', 'h', { h: '%n%' }), '%n%%h');
});

test("refuses a token when it is another keyword's", () => {
  assert.throws(() => expandTokens('%n', tokensOf('hostname'), values), refusal('%n', '%% %h'));
  assert.throws(() => expandTokens('%u', tokensOf('proxycommand'), values), refusal('%u', '%% %h %n %p %r'));
  assert.equal(expandTokens('%h:%p', tokensOf('proxyjump'), values), 'real.example.org:2222');
  assert.throws(() => expandTokens('%h', tokensOf('user'), values), refusal('%h', '%%'));
  // Known to the keyword, but only while there is a connection.
  assert.throws(() => expandTokens('%H', tokensOf('knownhostscommand'), values), /uses the unknown token %H/);
});

test('refuses a percent sign when it stands alone', () => {
  assert.throws(() => expandTokens('100%', 'h', values), /^Error: ends with a single %/);
  assert.throws(() => expandTokens('%%%', 'h', values), BadValue);
  assert.equal(expandTokens('%%%%', 'h', values), '%%');
  assert.throws(() => expandTokens('%\u001b', 'h', values), refusal('%\\\\x1b', '%% %h'));
  assert.throws(() => expandTokens('%__proto__', '_h', values), BadValue);
});

function refusal(token: string, known: string): RegExp {
  return new RegExp(`^Error: uses the unknown token ${token}; known are ${known}$`);
}

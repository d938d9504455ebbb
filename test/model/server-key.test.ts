import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loginKey, serverKey } from '../../src/model/server-key.ts';
import type { Entry } from '../../src/model/spec.ts';
import { plainSpec } from '../support/tunnel.ts';

const at = (host: string, jump?: string, entry: Entry = { type: 'direct' }) => ({
  ...plainSpec(),
  user: 'me',
  host,
  jumps: jump === undefined ? [] : [{ ...plainSpec(), host: jump }],
  entry,
});
const COMMAND: Entry = { type: 'command', command: 'nc gate 22' };

test('takes a host for another server when it is at the end of another way and means something only there', () => {
  for (const host of [
    'localhost',
    '127.0.0.1',
    '10.1.2.3',
    '192.168.1.9',
    'fd00::1',
    'fe80::1%eth0',
    'nas',
    'nas.lan',
  ]) {
    const keys: readonly string[] = [
      at(host),
      at(host, 'site-a'),
      at(host, 'site-b'),
      at(host, undefined, COMMAND),
    ].map((spec) => serverKey(spec));
    assert.equal(new Set(keys).size, 4, host);
  }
  for (const host of ['relay.example.org', '203.0.113.7', '172.32.0.1', '2001:db8::1', 'lan.example'])
    assert.equal(serverKey(at(host)), serverKey(at(host.toUpperCase(), 'site-a', COMMAND)), host);
});

test('finds what was remembered without a way', () => {
  assert.equal(loginKey(at('nas')), 'me@nas:22');
  assert.equal(loginKey(at('relay.example.org', 'gate')), 'me@relay.example.org:22');
  assert.equal(loginKey(at('nas', 'gate')), 'me@nas:22 via gate:22');
});

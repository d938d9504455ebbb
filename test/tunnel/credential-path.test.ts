import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credentialOf } from '../../src/tunnel/credential-path.ts';

test('a file below the configuration directory has a copy, under the name that systemd gives it', () => {
  const env = { CREDENTIALS_DIRECTORY: '/run/credentials/tunnel.service', CONFIGURATION_DIRECTORY: '/etc/tunneld' };
  const table: readonly [string, string | null][] = [
    ['/etc/tunneld/backup.key', 'etc_backup.key'],
    ['/etc/tunneld/keys/a/b', 'etc_keys_a_b'],
    ['/etc/tunneld/../tunneld/backup.key', 'etc_backup.key'],
    ['/etc/tunneld', null],
    ['/etc/tunneld/.hidden', null],
    ['/etc/tunneld/.git/key', null],
    ['/etc/tunneld2/key', null],
    ['/etc/passwd', null],
    ['/var/lib/tunneld/key', null],
  ];
  for (const [path, name] of table)
    assert.equal(credentialOf(path, env), name === null ? null : `/run/credentials/tunnel.service/${name}`, path);
});

test('outside of a service there are no copies, and without its variable the directory is the usual one', () => {
  assert.equal(credentialOf('/etc/tunneld/key', {}), null);
  assert.equal(credentialOf('/etc/tunneld/key', { CREDENTIALS_DIRECTORY: '' }), null);
  assert.equal(credentialOf('/etc/tunneld/key', { CREDENTIALS_DIRECTORY: '/c' }), '/c/etc_key');
  assert.equal(credentialOf('/x/key', { CREDENTIALS_DIRECTORY: '/c', CONFIGURATION_DIRECTORY: '/x:/y' }), '/c/etc_key');
});

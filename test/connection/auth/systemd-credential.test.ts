import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copiesOf } from '../../../src/connection/auth/systemd-credential.ts';

test('a file below the configuration directory has copies, under the name that systemd gives them', () => {
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
    assert.deepEqual(
      copiesOf(path, env),
      name === null ? [] : [`/run/tunneld-keys/${name}`, `/run/credentials/tunnel.service/${name}`],
      path,
    );
});

test('outside of a service there are no copies, and without its variable the directory is the usual one', () => {
  const key = '/etc/tunneld/key';
  assert.deepEqual(copiesOf(key, {}), []);
  assert.deepEqual(copiesOf(key, { CREDENTIALS_DIRECTORY: '' }), []);
  assert.deepEqual(copiesOf(key, { CREDENTIALS_DIRECTORY: '/c' }), ['/run/tunneld-keys/etc_key', '/c/etc_key']);
  const env = { CREDENTIALS_DIRECTORY: '/c', CONFIGURATION_DIRECTORY: '/x:/y', RUNTIME_DIRECTORY: '/run/a:/run/b' };
  assert.deepEqual(copiesOf('/x/key', env), ['/run/a-keys/etc_key', '/c/etc_key']);
});

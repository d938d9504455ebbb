import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copiesOf } from '../../../src/connection/auth/systemd-credential.ts';

test("finds copies under systemd's names when a file is below the configuration directory", () => {
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

test('finds no copies outside of a service, and uses the usual directory when its variable is missing', () => {
  const key = '/etc/tunneld/key';
  assert.deepEqual(copiesOf(key, {}), []);
  assert.deepEqual(copiesOf(key, { CREDENTIALS_DIRECTORY: '' }), []);
  assert.deepEqual(copiesOf(key, { CREDENTIALS_DIRECTORY: '/c' }), ['/run/tunneld-keys/etc_key', '/c/etc_key']);
  const env = { CREDENTIALS_DIRECTORY: '/c', CONFIGURATION_DIRECTORY: '/x:/y', RUNTIME_DIRECTORY: '/run/a:/run/b' };
  assert.deepEqual(copiesOf('/x/key', env), ['/run/a-keys/etc_key', '/c/etc_key']);
});

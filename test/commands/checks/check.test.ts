import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunneld } from '../../support/tunneld.ts';
import { tempDir } from '../../support/until.ts';

test('names every secret that others may read, of a tunnel, its jump and its proxy, with the cure', async (t) => {
  const dir = await tempDir(t);
  const names = ['passphrase', 'password', 'proxy-password'];
  const at = (name: string) => join(dir, name);
  for (const name of names) writeFileSync(at(name), 'secret\n', { mode: 0o644 });
  const key = join(dir, 'id.pub');
  writeFileSync(
    key,
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVqxJEBusulW5UVenyLgzSYVe93QMLykKmXLeFc0dvf a key for all\n',
  );
  writeFileSync(
    at('config.yaml'),
    `tunnels:
  a:
    host: a.example
    user: me
    identityFile: ${key}
    passphraseFile: ${at('passphrase')}
    passwordFile: ${at('password')}
    proxy: http://me@proxy.example:3128
    proxyPasswordFile: ${at('proxy-password')}
    sshConfig: none
    remoteForward: 8080:localhost:22
`,
  );
  const check = () => tunneld(['check', '--config', at('config.yaml')]);
  const { code, stderr, stdout } = await check();
  assert.equal(code, 0, stderr);
  for (const name of names)
    assert.ok(
      stderr.includes(`${at(name)} has mode 0644, so that others can use it: chmod 600 '${at(name)}'`),
      `${name}; ${stderr}${stdout}`,
    );
  assert.ok(!stderr.includes(key));
  for (const name of names) chmodSync(at(name), 0o600);
  assert.equal((await check()).stderr, '');
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunneld } from '../../support/tunneld.ts';
import { tempDir } from '../../support/until.ts';

test('prints for server-setup and client-setup, or says why it cannot', async (t) => {
  const dir = await tempDir(t);
  const key = join(dir, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const file = join(dir, 'config.yaml');
  writeFileSync(
    file,
    `defaults: { host: relay.example.org, user: limited, identityFile: ${key}, sshConfig: none }
tunnels:
  backup: { remoteForward: 8080:localhost:22 }
  unseen: { remoteForward: 8084:localhost:22, user: unseen, verify: off }
  web: { localForward: 8081:localhost:80, user: other }
  odd: { remoteForward: 8082:localhost:22, user: "o'brien" }
  keyless: { remoteForward: 8083:localhost:22, user: another, identityFile: ${dir}/none }
`,
  );
  const run = (...args: string[]) => tunneld([...args, '--config', file]);
  const works = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, ''], args.join(' '));
    return stdout;
  };
  const fails = async (code: number, message: RegExp, ...args: string[]) => {
    const result = await run(...args);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, message);
    assert.equal(result.stdout, '');
  };

  const script = await works('server-setup', 'backup');
  assert.match(script, /^#!\/bin\/sh\n/);
  assert.doesNotMatch(script, /PRIVATE KEY/);
  assert.doesNotMatch(await works('server-setup', 'unseen'), /permitopen="localhost/);
  assert.match(
    await works('server-setup', 'unseen', '--jump'),
    /permitopen="localhost:8084",permitopen="127\.0\.0\.1:8084"/,
  );
  assert.match(await works('server-setup', 'keyless', '--undo'), /^#!\/bin\/sh\n# Undoes/);
  assert.match(await works('server-setup', 'backup', '--for', 'macos'), /dscl/);
  assert.match(await works('server-setup', 'backup', '--for', 'nixos'), /users\.users\."limited"/);
  assert.match(await works('server-setup', 'backup', '--for', 'nixos', '--undo'), /^# Take what/);
  const client = await works('client-setup', 'backup', '--user', 'pi', '--alias', 'attic');
  assert.match(client, /^Host attic\n[\s\S]*\n {2}User pi\n/m);
  assert.match(await works('client-setup', 'backup'), /^Host backup\n/m);

  await fails(4, /there is no tunnel "none"; there are: backup, unseen, web, odd, keyless/, 'server-setup', 'none');
  await fails(4, /there is no tunnel "none"/, 'client-setup', 'none');
  await fails(1, /the tunnel web has no remoteForward/, 'client-setup', 'web');
  await fails(1, /the tunnel web has no remoteForward/, 'server-setup', 'web', '--jump');
  await fails(1, /'o'brien' cannot be written/, 'server-setup', 'odd');
  await fails(1, /'o'brien' cannot be written/, 'server-setup', 'odd', '--undo');
  await fails(1, /none does not exist/, 'server-setup', 'keyless');
  await fails(1, /the alias 'a b' cannot be written/, 'client-setup', 'backup', '--alias', 'a b');
  await fails(2, /Allowed choices are debian, nixos, macos/, 'server-setup', 'backup', '--for', 'windows');
  writeFileSync(file, 'tunnels: { backup: { hots: relay } }\n');
  await fails(78, /is not a known key/, 'server-setup', 'backup');
  await fails(78, /is not a known key/, 'client-setup', 'backup');
});

test('takes no way in from another tunnel of the user when --jump is given', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'config.yaml');
  for (const name of ['one', 'two'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(dir, name)]);
  writeFileSync(
    file,
    `defaults: { host: relay.example.org, user: limited, sshConfig: none }
tunnels:
  first: { remoteForward: 8080:localhost:22, identityFile: one }
  second: { remoteForward: 8081:localhost:22, identityFile: two }
  third: { localForward: 8082:localhost:80, identityFile: two }
`,
  );
  const { code, stdout, stderr } = await tunneld(['server-setup', 'second', '--jump', '--config', file]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /permitopen="localhost:8080".* one( host-key:8080=SHA256:\S+)?$/m);
  assert.match(stdout, /permitopen="localhost:8081".* two( host-key:8081=SHA256:\S+)?$/m);
  assert.match(stdout, /^ {2}PermitOpen (?=.*localhost:8080)(?=.*localhost:8081)(?=.*localhost:80\b)/m);
});

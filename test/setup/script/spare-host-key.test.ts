import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FILES } from '../../../src/setup/script/files.ts';
import { DROP_SPARE, MAKE_SPARE, SPARE } from '../../../src/setup/script/spare-host-key.ts';
import { tempDir } from '../../support/until.ts';

test('leaves the spare key that another device has made while its own was made', async (t) => {
  const { dir, run } = await machine(t);
  const [other, bin] = [join(dir, 'other'), join(dir, 'bin')];
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'of another device', '-f', other]);
  const real = execFileSync('sh', ['-c', 'command -v ssh-keygen'], { encoding: 'utf8' }).trim();
  mkdirSync(bin);
  const late = `#!/bin/sh\n[ -e key/spare ] || { cp ${other} key/spare; cp ${other}.pub key/spare.pub; }\nexec ${real} "$@"\n`;
  writeFileSync(join(bin, 'ssh-keygen'), late, { mode: 0o755 });
  const stdout = run(`PATH=${bin}:$PATH\nmake_spare\ntell_spare\necho "changed: $changed"`);
  const [type, base64] = readFileSync(`${other}.pub`, 'utf8').split(' ');
  assert.equal(stdout, `spare host key: ${type} ${base64}\nchanged: no\n`);
  assert.deepEqual(readdirSync(join(dir, 'key')), ['spare', 'spare.pub']);
  assert.deepEqual(readFileSync(join(dir, 'key/spare')), readFileSync(other));
});

test('keeps a spare key of which it cannot see whether sshd uses it, and says so', async (t) => {
  const { dir, run } = await machine(t);
  assert.match(run('make_spare\necho "changed: $changed"'), /^changed: yes$/m);
  assert.match(run('sshd=false\ndrop_spare'), /stays: sshd -T failed, and does not show whether sshd uses it\n$/);
  assert.match(run('sshd() { echo "hostkey $spare"; }\nsshd=sshd\ndrop_spare'), /: sshd uses it/);
  assert.deepEqual(readdirSync(join(dir, 'key')), ['spare', 'spare.pub']);
  assert.doesNotMatch(run('sshd=true\ntell_spare'), /note/);
  assert.match(
    run('sshd() { echo "hostkey $spare"; }\nsshd=sshd\ntell_spare'),
    /^spare host key: ssh-ed25519 \S+\nnote: sshd uses key\/spare, so that it is no spare key any more: .* makes another one\n$/,
  );
  assert.match(run('sshd=true\ndrop_spare'), /was removed: no device is set up any more\n$/);
  assert.deepEqual(readdirSync(join(dir, 'key')), []);
});

/** Runs the parts of the script with the key in a folder of the test, and what they need of the others. */
async function machine(t: Parameters<typeof tempDir>[0]) {
  const dir = await tempDir(t);
  for (const name of ['key', 'work']) mkdirSync(join(dir, name));
  const head = `set -eu
say() { printf '%s\\n' "$*"; }
die() { say "$*" >&2; put_files_back; exit 1; }
work=work count=0 changed=no whole=yes state_folder=none`;
  const parts = [head, FILES, SPARE, MAKE_SPARE, DROP_SPARE, 'spare=key/spare'].join('\n');
  return {
    dir,
    run: (steps: string) => execFileSync('sh', ['-c', `${parts}\n${steps}`], { cwd: dir, encoding: 'utf8' }),
  };
}

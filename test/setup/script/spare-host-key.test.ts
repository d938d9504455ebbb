import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
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

/** Programs that make_spare and drop_spare change files with, or between whose calls they do. */
const PROGRAMS = ['ssh-keygen', 'sync', 'ln', 'mv', 'rm'];

test('completes or removes the spare key when a run was killed behind any of its programs', async (t) => {
  const { dir, run, runKilled } = await machine(t);
  const files = () => readdirSync(join(dir, 'key'));
  const read = (name: string) => readFileSync(join(dir, 'key', name), 'utf8');
  let kills = 0;
  for (let step = 1; runKilled('make_spare', step); step += 1) {
    kills += 1;
    const [, shown = ''] = /^spare host key: (.*)\n/.exec(run('sshd=true\nmake_spare\ntell_spare')) ?? [];
    assert.deepEqual(files(), ['spare', 'spare.pub'], `made after step ${step}`);
    assert.equal(read('spare.pub'), `${shown} spare host key, made by tunneld server-setup\n`);
    runKilled('sshd=true\ndrop_spare', step);
    run('sshd=true\ndrop_spare');
    assert.deepEqual(files(), [], `dropped after step ${step}`);
    runKilled('make_spare', step);
    run('sshd=true\ndrop_spare');
    assert.deepEqual(files(), [], `dropped as it was left at step ${step}`);
  }
  assert.ok(kills >= 4, String(kills));
});

test('shows the spare key that is there, not the one whose .pub a killed run has left', async (t) => {
  const { dir, run } = await machine(t);
  run('make_spare\ncp key/spare.pub old.pub\nsshd=true\nrm key/spare\nmake_spare\ncp old.pub key/spare.pub');
  const shown = run('sshd=true\nmake_spare\ntell_spare');
  assert.equal(shown, `spare host key: ${readFileSync(join(dir, 'key/spare.pub'), 'utf8').split(' ', 2).join(' ')}\n`);
  assert.notEqual(readFileSync(join(dir, 'key/spare.pub'), 'utf8'), readFileSync(join(dir, 'old.pub'), 'utf8'));
});

test('leaves a key of an administrator, and one whose .pub claims that it is ours', async (t) => {
  const { dir, run } = await machine(t);
  run('make_spare\nrm key/spare\nssh-keygen -q -t ed25519 -N secret -C mine -f mine </dev/null\nmv mine key/spare');
  const before = readFileSync(join(dir, 'key/spare'));
  run('sshd=true\nmake_spare\ndrop_spare');
  assert.deepEqual(readFileSync(join(dir, 'key/spare')), before);
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
    runKilled: (steps: string, step: number) => isKilled(dir, `${parts}\n${steps}`, step),
  };
}

/** Runs a script that is killed behind the call of a program with this number; false where it makes fewer calls. */
function isKilled(dir: string, script: string, step: number): boolean {
  const bin = join(dir, 'killers');
  mkdirSync(bin, { recursive: true });
  for (const name of PROGRAMS) {
    const counting = 'left=$(($(cat steps) - 1)); echo "$left" >steps; [ "$left" != 0 ] || kill -KILL "$(cat pid)"';
    const text = `#!/bin/sh\nPATH=\${PATH#*:}\n${name} "$@"\ncode=$?\n${counting}\nexit "$code"\n`;
    writeFileSync(join(bin, name), text, { mode: 0o755 });
  }
  writeFileSync(join(dir, 'steps'), `${step}\n`);
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
  const { status, signal } = spawnSync('sh', ['-c', `echo $$ >pid\n${script}`], { cwd: dir, env });
  assert.ok(signal === 'SIGKILL' || status === 0);
  return signal === 'SIGKILL';
}

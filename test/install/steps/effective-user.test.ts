import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lchownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAsOwner, ownerOfPath, asUser } from '../../../src/install/steps/effective-user.ts';
import { pathOwner } from '../../../src/lib/files/path-owner.ts';
import { tempDir } from '../../support/until.ts';

const isRoot = process.getuid?.() === 0;
const PI = isRoot ? 54_321 : process.getuid!();

test("reads a file with the user's rights, whatever his links lead to, and is root again afterwards", async (t) => {
  const dir = await tempDir(t);
  const [home, secret] = [join(dir, 'home'), join(dir, 'secret')];
  execFileSync('chmod', ['755', dir]);
  mkdirSync(home, { mode: 0o755 });
  writeFileSync(join(home, 'own'), 'own');
  writeFileSync(secret, 'secret', { mode: isRoot ? 0o600 : 0 });
  symlinkSync(secret, join(home, 'link'));
  symlinkSync(dir, join(home, 'way'));
  for (const name of ['', 'own', 'link', 'way']) lchownSync(join(home, name), PI, PI);

  assert.equal(readAsOwner(join(home, 'own')).toString(), 'own');
  assert.throws(() => readAsOwner(join(home, 'link')), /EACCES/);
  assert.throws(() => readAsOwner(join(home, 'way', 'secret')), /EACCES/);
  assert.equal(process.geteuid?.(), process.getuid?.());
  const inside = () => [process.geteuid?.(), process.getegid?.(), process.getgroups?.().includes(0) && isRoot];
  if (isRoot) assert.deepEqual(await asUser(ownerOfPath(join(home, 'own')), inside), [PI, PI, false]);
  await assert.rejects(
    asUser(ownerOfPath(home), () => Promise.reject(new Error('within'))),
    /within/,
  );
  assert.equal(process.geteuid?.(), process.getuid?.());
});

test('does not wait when a path is no file, and does not read on when one never ends', async (t) => {
  const dir = await tempDir(t);
  execFileSync('mkfifo', [join(dir, 'pipe')]);
  symlinkSync('/dev/zero', join(dir, 'zero'));
  writeFileSync(join(dir, 'large'), Buffer.alloc(1024 * 1024 + 1));
  for (const name of ['pipe', 'zero']) assert.throws(() => readAsOwner(join(dir, name)), /is not a regular file/);
  assert.throws(() => readAsOwner(join(dir, 'large')), /is larger than/);
});

test('takes a place for that of the first user on the way, also behind links of root', async (t) => {
  const dir = await tempDir(t);
  mkdirSync(join(dir, 'pi', 'below'), { recursive: true });
  lchownSync(join(dir, 'pi'), PI, PI);
  symlinkSync(join(dir, 'pi'), join(dir, 'link'));
  for (const path of ['pi', 'pi/below', 'pi/below/not there', 'link/below', 'pi/../pi/below'])
    assert.equal(pathOwner(join(dir, path)).uid, PI, path);
  assert.equal(pathOwner('/etc/passwd').uid, 0);
  assert.equal(pathOwner('/etc/not/there').uid, 0);
});

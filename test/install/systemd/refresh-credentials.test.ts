import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { refreshCredentials } from '../../../src/install/systemd/refresh-credentials.ts';
import { tempDir } from '../../support/until.ts';

test('gives the service copies of what it may not read, as it is now, and of nothing else', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can hand something over');
  const dir = await tempDir(t);
  const [from, to] = [join(dir, 'etc'), join(dir, 'keys')];
  const write = (name: string, text: string, mode = 0o600) => {
    writeFileSync(join(from, name), text);
    chmodSync(join(from, name), mode);
  };
  const run = () => refreshCredentials({ from, to, uid: 1234, gid: 1235 });
  mkdirSync(join(from, 'keys'), { recursive: true });
  write('a.key', 'one');
  write('keys/b.key', 'two');
  write('config.yaml', 'tunnels: {}\n', 0o644);
  write('.hidden', 'no');
  symlinkSync('/etc/shadow', join(from, 'shadow'));
  await run();
  assert.deepEqual(readdirSync(to).toSorted(), ['etc_a.key', 'etc_keys_b.key']);
  assert.equal(readFileSync(join(to, 'etc_a.key'), 'utf8'), 'one');
  const facts = (path: string) => {
    const { uid, gid, mode } = statSync(path);
    return [uid, gid, (mode & 0o777).toString(8)];
  };
  assert.deepEqual(facts(to), [0, 1235, '710']);
  assert.deepEqual(facts(join(to, 'etc_a.key')), [1234, 1235, '400']);

  const { ino } = statSync(join(to, 'etc_a.key'));
  rmSync(join(from, 'keys/b.key'));
  write('c.key', 'three');
  await run();
  assert.deepEqual(readdirSync(to).toSorted(), ['etc_a.key', 'etc_c.key']);
  assert.equal(statSync(join(to, 'etc_a.key')).ino, ino, 'what is the same stays');

  write('big', 'x'.repeat(1_100_000));
  await assert.rejects(run(), /more than 1 MiB/);
  rmSync(join(from, 'big'));
  rmSync(to, { recursive: true });
  symlinkSync('/etc', to);
  await assert.rejects(run(), /is not a directory of root/);
});

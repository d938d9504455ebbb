import assert from 'node:assert/strict';
import { chownSync, lchownSync, mkdirSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setOwnership, readFileState } from '../../../src/install/steps/files.ts';
import { tempDir } from '../../support/until.ts';

const MINE = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mode: 0o600 };

test("follows a link when it is the own user's", async (t) => {
  const dir = await tempDir(t);
  mkdirSync(join(dir, 'real/below'), { recursive: true });
  writeFileSync(join(dir, 'real/below/file'), 'text');
  symlinkSync('real', join(dir, 'link'));
  assert.equal((await readFileState(join(dir, 'link/below/file')))?.content, 'text');
  await setOwnership(join(dir, 'link/below/file'), MINE);
});

test("refuses a link when it is another user's, also when it was a directory a moment ago", async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can make files of others');
  const [dir, elsewhere] = [await tempDir(t), await tempDir(t)];
  const path = join(dir, 'keys/id');
  mkdirSync(join(dir, 'keys'));
  for (const folder of [join(dir, 'keys'), elsewhere]) writeFileSync(join(folder, 'id'), folder, { mode: 0o600 });
  chownSync(dir, 65_534, 65_534);
  const other = join(dir, 'other');
  symlinkSync(elsewhere, other);
  lchownSync(other, 65_534, 65_534);
  // Back and forth, as whoever owns the directory could.
  const stop = new AbortController();
  const swapped = (async () => {
    while (!stop.signal.aborted) {
      renameSync(join(dir, 'keys'), join(dir, 'aside'));
      renameSync(other, join(dir, 'keys'));
      await new Promise((resolve) => setImmediate(resolve));
      renameSync(join(dir, 'keys'), other);
      renameSync(join(dir, 'aside'), join(dir, 'keys'));
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const seen = new Set<unknown>();
  for (let round = 0; round < 1000; round += 1) seen.add((await readFileState(path).catch(() => null))?.content);
  stop.abort();
  await swapped;
  assert.ok(!seen.has(elsewhere));
});

test('does not read on when a file has no end', async (t) => {
  const path = join(await tempDir(t), 'known_hosts');
  writeFileSync(path, '');
  truncateSync(path, 2 ** 40);
  await assert.rejects(readFileState(path), /cannot read \S+: it is larger than 16 MiB/);
});

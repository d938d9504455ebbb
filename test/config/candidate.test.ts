import assert from 'node:assert/strict';
import { chmodSync, chownSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { candidatePath } from '../../src/config/input/paths.ts';
import { installCandidate, createCandidate } from '../../src/config/candidate.ts';
import { tempDir } from '../support/until.ts';

async function place(t: TestContext) {
  const dir = await tempDir(t);
  const file = join(dir, 'config.yaml');
  writeFileSync(file, 'tunnels: {}\n');
  return { dir, file };
}

test('takes the place of the file, which is kept, when it is confirmed', async (t) => {
  const { file } = await place(t);
  const name = await createCandidate(file, 'new\n', null);
  await installCandidate(file, name);
  assert.deepEqual(
    [file, `${file}.previous`].map((path) => readFileSync(path, 'utf8')),
    ['new\n', 'tunnels: {}\n'],
  );
});

test('believes no daemon that names a file elsewhere when root asks', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root could be led astray');
  const { dir, file } = await place(t);
  const victim = join(await tempDir(t), 'victim');
  writeFileSync(victim, 'tunnels: as before\n');
  const link = join(dir, 'link');
  symlinkSync(victim, link);
  writeFileSync(candidatePath(link, 'evil'), 'evil\n');
  chownSync(dir, 65_534, 65_534);
  await assert.rejects(installCandidate(link, 'evil'), /is writable by others than root/);
  chownSync(dir, 0, 0);
  chmodSync(dir, 0o777);
  await assert.rejects(installCandidate(link, 'evil'), /is writable by others than root/);
  await assert.rejects(createCandidate(link, 'x', null), /is writable by others than root/);
  chmodSync(dir, 0o755);
  await assert.rejects(installCandidate(file, '../evil'), /is not the name of a candidate/);
  assert.equal(readFileSync(victim, 'utf8'), 'tunnels: as before\n');
});

test('does not write when the file is no configuration', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root could be led astray');
  const { dir, file } = await place(t);
  writeFileSync(file, 'root:x:0:0:root:/root:/bin/sh\n');
  await assert.rejects(createCandidate(file, 'tunnels: {}\n', null), /is not a configuration of tunneld/);
  assert.deepEqual(readdirSync(dir), ['config.yaml']);
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAtMost, readWhole, withFile } from '../../../src/lib/files/open-file.ts';
import { readRegularFile, readText } from '../../../src/lib/files/read-file.ts';
import { tempDir } from '../../support/until.ts';

test('reads a file to its end when it is no larger than allowed', async (t) => {
  const path = join(await tempDir(t), 'file');
  const content = Buffer.alloc(200_000, 'tunnel');
  writeFileSync(path, content);
  assert.deepEqual(await withFile(path, (file) => readWhole(file, content.length)), content);
  assert.equal(await withFile(path, (file) => readWhole(file, content.length - 1)), null);
  const first = await withFile(path, ({ handle }) => readAtMost(handle, 100_000));
  assert.deepEqual(first, content.subarray(0, 100_000));
});

test(
  'reads a file when it has no size, such as one of /proc or a device',
  { skip: process.platform !== 'linux' },
  async () => {
    assert.match(await readText('/proc/self/status'), /^Name:/);
    assert.equal((await withFile('/dev/zero', ({ handle }) => readAtMost(handle, 70_000))).length, 70_000);
    await assert.rejects(readText('/dev/zero'), /larger than 1 MiB/);
  },
);

test('does not wait for the writer of a pipe', async (t) => {
  const path = join(await tempDir(t), 'pipe');
  execFileSync('mkfifo', [path]);
  assert.equal(await withFile(path, ({ stats }) => stats.isFIFO()), true);
  await assert.rejects(readText(path), /is a pipe/);
  assert.throws(() => readRegularFile(path), /not a regular file/);
});

test('closes the file when the work fails', { skip: process.platform !== 'linux' }, async (t) => {
  const path = join(await tempDir(t), 'file');
  writeFileSync(path, 'text');
  const before = readdirSync('/proc/self/fd').length;
  await assert.rejects(
    withFile(path, () => Promise.reject(new Error('the work failed'))),
    /the work failed/,
  );
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('follows no link where it is told not to', async (t) => {
  const directory = await tempDir(t);
  const [file, link] = [join(directory, 'file'), join(directory, 'link')];
  closeSync(openSync(file, 'w'));
  symlinkSync(file, link);
  await withFile(link, () => {});
  await assert.rejects(
    withFile(link, () => {}, { flags: constants.O_NOFOLLOW }),
    { code: 'ELOOP' },
  );
});

test('bounds what is read at once too', async (t) => {
  const path = join(await tempDir(t), 'file');
  writeFileSync(path, 'text');
  assert.equal(readRegularFile(path, 4).toString(), 'text');
  assert.throws(() => readRegularFile(path, 3), /larger than 3 bytes/);
});

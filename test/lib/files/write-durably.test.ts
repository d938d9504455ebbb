import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { durableFile } from '../../../src/lib/files/write-durably.ts';
import { errorCode } from '../../../src/lib/text.ts';
import { separately } from '../../support/separately.ts';
import { tempDir } from '../../support/until.ts';

const module = separately('src/lib/files/write-durably.ts');

test('leaves the old file when the new text does not fit as a whole', async (t) => {
  const path = join(await tempDir(t), 'file');
  writeFileSync(path, 'old');
  const script = `await (await import(${JSON.stringify(module.url)})).writeDurably(${JSON.stringify(path)}, 'x'.repeat(100_000))`;
  const limited = `trap '' XFSZ; ulimit -f 8; exec "$@"`;
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', limited, 'sh', ...module.node, '--input-type=module', '-e', script],
    {
      encoding: 'utf8',
      env: { ...process.env, TSX_DISABLE_CACHE: '1' },
    },
  );
  assert.notEqual(status, 0);
  assert.match(stderr, /EFBIG/);
  assert.equal(readFileSync(path, 'utf8'), 'old');
});

test('begins a write at once, and makes one of a thousand changes meanwhile', async (t) => {
  const path = join(await tempDir(t), 'state', 'file');
  const ends: unknown[] = [];
  let state = 0;
  const file = durableFile(
    path,
    () => `${state}`,
    (error) => ends.push(error),
  );
  for (state = 1; state <= 1000; state++) file.changed();
  state = 1000;
  assert.equal(existsSync(path), false, 'it was written in the turn of the change');
  await file.written();
  assert.equal(readFileSync(path, 'utf8'), '1000');
  assert.deepEqual(ends, [null, null]);
  assert.deepEqual(readdirSync(dirname(path)), ['file']);

  // One that cannot be written is told, and the next one is written all the same.
  rmSync(path);
  mkdirSync(path);
  file.changed();
  await file.written();
  rmSync(path, { recursive: true });
  file.changed();
  await file.written();
  assert.deepEqual([ends.length, errorCode(ends[2]), ends[3]], [4, 'EISDIR', null]);
});

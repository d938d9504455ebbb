import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDir } from '../support/until.ts';

const MODULE = fileURLToPath(new URL('../../src/lib/files/write-durably.ts', import.meta.url));

test('what does not fit as a whole leaves the old file', async (t) => {
  const path = join(await tempDir(t), 'file');
  writeFileSync(path, 'old');
  const script = `(await import(${JSON.stringify(MODULE)})).writeDurably(${JSON.stringify(path)}, 'x'.repeat(100_000))`;
  const limited = `trap '' XFSZ; ulimit -f 8; exec "$0" --import tsx --input-type=module -e "$1"`;
  const { status, stderr } = spawnSync('sh', ['-c', limited, process.execPath, script], {
    encoding: 'utf8',
    env: { ...process.env, TSX_DISABLE_CACHE: '1' },
  });
  assert.notEqual(status, 0);
  assert.match(stderr, /EFBIG/);
  assert.equal(readFileSync(path, 'utf8'), 'old');
});

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeScript } from '../../../src/commands/setup/write-script.ts';
import { tempDir } from '../../support/until.ts';

test('writes a script into the other directory when the current one cannot be written', async (t) => {
  const dir = await tempDir(t);
  const before = process.cwd();
  t.after(() => process.chdir(before));
  process.chdir(dir);
  assert.equal(await writeScript('one', 'script.sh', before), join(process.cwd(), 'script.sh'));
  const gone = mkdtempSync(join(dir, 'gone-'));
  process.chdir(gone);
  rmdirSync(gone);
  assert.equal(await writeScript('two', 'script.sh', dir), join(dir, 'script.sh'));
  assert.equal(readFileSync(join(dir, 'script.sh'), 'utf8'), 'two');
});

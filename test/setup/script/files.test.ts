import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FILES } from '../../../src/setup/script/files.ts';
import { tempDir } from '../../support/until.ts';

test('has the new text of a file on the disk before it takes the place of the old one, and the old one when it goes back', async (t) => {
  const dir = await tempDir(t);
  const bin = join(dir, 'bin');
  for (const path of [bin, join(dir, 'work')]) mkdirSync(path);
  const note = (name: string, text: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\nexec /bin/${name} "$@"\n`, { mode: 0o755 });
  note('sync', 'echo "sync $1: $(cat "$1")" >>log');
  note('mv', 'echo "mv $2 $3" >>log');
  writeFileSync(join(dir, 'config'), 'old\n');
  writeFileSync(join(dir, 'new'), 'new\n');
  const steps = 'work=work count=0 changed=no whole=yes\nreplace config new\ncat config\nput_files_back\ncat config';
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
  const printed = execFileSync('sh', ['-c', `set -eu\n${FILES}\n${steps}`], { cwd: dir, env, encoding: 'utf8' });
  assert.equal(printed, 'new\nold\n');
  const [temporary, move] = ['config.tunneld-new', 'mv config.tunneld-new config'];
  assert.deepEqual(readFileSync(join(dir, 'log'), 'utf8').trimEnd().split('\n'), [
    `sync ${temporary}: new`,
    move,
    `sync ${temporary}: old`,
    move,
  ]);
});

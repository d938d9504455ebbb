import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { EXIT } from '../src/lib/exit-code.ts';
import { PROGRAM } from './support/tunneld.ts';
import { tempDir } from './support/until.ts';

test('ends with an error when the disk is too full for its output', async (t) => {
  const { status, stderr } = spawnSync(process.execPath, [...PROGRAM, '--help'], {
    stdio: ['ignore', full(t), 'pipe'],
    encoding: 'utf8',
  });
  assert.match(stderr, /standard output cannot be written, and is not complete: ENOSPC/);
  assert.equal(status, EXIT.failed);
  // A failure of the command itself keeps its code.
  const failed = spawnSync(process.execPath, [...PROGRAM, ...(await wrongInit(t))], {
    stdio: ['ignore', full(t), 'pipe'],
    encoding: 'utf8',
  });
  assert.match(failed.stderr, /standard output cannot be written, and is not complete: ENOSPC/);
  assert.equal(failed.status, EXIT.usage);
});

test('goes on to its end when its messages cannot be written', async (t) => {
  const { status, stdout } = spawnSync(process.execPath, [...PROGRAM, ...(await wrongInit(t))], {
    stdio: ['ignore', 'pipe', full(t)],
    encoding: 'utf8',
  });
  assert.equal(status, EXIT.usage);
  assert.match(stdout, /"exitCode": 2/);
});

/** Of a configuration of its own: while it looks it has the lock of that file, which another test would be refused. */
async function wrongInit(t: TestContext): Promise<readonly string[]> {
  return ['init', 'me@host', '-R', '8080', '--json', '--config', join(await tempDir(t), 'config.yaml')];
}

/** A file on a disk that is full (full(4)). */
function full(t: TestContext): number {
  const file = openSync('/dev/full', 'w');
  t.after(() => closeSync(file));
  return file;
}

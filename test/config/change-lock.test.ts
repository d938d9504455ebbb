import assert from 'node:assert/strict';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { changing } from '../../src/config/change-lock.ts';
import { tempDir } from '../support/until.ts';

test('lets one command change a configuration at a time, names it to others, and leaves nothing behind', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'a/b/config.yaml');
  const inner = await changing(file, 'rekey\u001b[2J backup', async () => {
    assert.deepEqual(readdirSync(join(dir, 'a/b')), ['.config.yaml.lock']);
    await changing(join(dir, 'a/b/other.yaml'), 'move', () => Promise.resolve());
    await assert.rejects(
      changing(file, 'move', () => Promise.reject(new Error('both are at work'))),
      new RegExp(
        `another command \\(tunneld rekey\\\\x1b\\[2J backup, process ${process.pid}\\) is changing .*config\\.yaml, and nothing was done`,
      ),
    );
    return 'done';
  });
  assert.equal(inner, 'done');
  assert.equal(existsSync(join(dir, 'a')), false);

  mkdirSync(join(dir, 'c'));
  symlinkSync(join(dir, 'c/config.yaml'), join(dir, 'link.yaml'));
  await changing(file, 'move', () => Promise.resolve(writeFileSync(join(dir, 'a/b/config.yaml'), '')));
  writeFileSync(join(dir, 'c/config.yaml'), '');
  await changing(join(dir, 'link.yaml'), 'move', () =>
    assert.rejects(
      changing(join(dir, 'c/config.yaml'), 'move', () => Promise.resolve()),
      /is changing/,
    ),
  );
  await assert.rejects(
    changing(file, 'move', () => Promise.reject(new Error('it failed'))),
    /it failed/,
  );
  assert.deepEqual(readdirSync(join(dir, 'a/b')), ['config.yaml']);
  // Where nothing can be written, the work itself says so.
  assert.equal(await changing(join(dir, 'link.yaml/config.yaml'), 'move', () => Promise.resolve(1)), 1);
});

test('writes nothing into a file that has the name of the lock as a second one', async (t) => {
  const dir = await tempDir(t);
  writeFileSync(join(dir, 'other'), 'what another has written\n');
  linkSync(join(dir, 'other'), join(dir, '.config.yaml.lock'));
  await changing(join(dir, 'config.yaml'), 'move', () => Promise.resolve());
  assert.equal(readFileSync(join(dir, 'other'), 'utf8'), 'what another has written\n');
  assert.deepEqual(readdirSync(dir), ['other']);
});

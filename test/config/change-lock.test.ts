import assert from 'node:assert/strict';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { changing, commandOf } from '../../src/config/change-lock.ts';
import { tempDir } from '../support/until.ts';

test('lets one command change a configuration at a time, names it to others, and leaves nothing behind', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'a/b/config.yaml');
  const inner = await changing(file, async () => {
    assert.deepEqual(readdirSync(join(dir, 'a/b')), ['.config.yaml.lock']);
    await changing(join(dir, 'a/b/other.yaml'), () => Promise.resolve());
    await assert.rejects(
      changing(file, () => Promise.reject(new Error('both are at work'))),
      new RegExp(`another command .*process ${process.pid}\\) is changing .*config\\.yaml, and nothing was done`),
    );
    return 'done';
  });
  assert.equal(inner, 'done');
  assert.equal(existsSync(join(dir, 'a')), false);

  mkdirSync(join(dir, 'c'));
  symlinkSync(join(dir, 'c/config.yaml'), join(dir, 'link.yaml'));
  await changing(file, () => Promise.resolve(writeFileSync(join(dir, 'a/b/config.yaml'), '')));
  writeFileSync(join(dir, 'c/config.yaml'), '');
  await changing(join(dir, 'link.yaml'), () =>
    assert.rejects(
      changing(join(dir, 'c/config.yaml'), () => Promise.resolve()),
      /is changing/,
    ),
  );
  await assert.rejects(
    changing(file, () => Promise.reject(new Error('it failed'))),
    /it failed/,
  );
  assert.deepEqual(readdirSync(join(dir, 'a/b')), ['config.yaml']);
  // Where nothing can be written, the work itself says so.
  assert.equal(await changing(join(dir, 'link.yaml/config.yaml'), () => Promise.resolve(1)), 1);
});

test('writes nothing into a file that has the name of the lock as a second one', async (t) => {
  const dir = await tempDir(t);
  writeFileSync(join(dir, 'other'), 'what another has written\n');
  linkSync(join(dir, 'other'), join(dir, '.config.yaml.lock'));
  await changing(join(dir, 'config.yaml'), () => Promise.resolve());
  assert.equal(readFileSync(join(dir, 'other'), 'utf8'), 'what another has written\n');
  assert.deepEqual(readdirSync(dir), ['other']);
});

test('names a command with what it is about, wherever --config stands, and without its other options', () => {
  for (const [typed, name] of [
    ['rekey backup', 'rekey backup'],
    ['--config /c.yaml rekey backup --via me@server --yes', 'rekey backup'],
    ['move --config=/c.yaml backup new.example', 'move backup new.example'],
    ['move backup --config /c.yaml new.example', 'move backup new.example'],
    ['init --via me@server limited@server', 'init'],
    ['', ''],
  ] as const)
    assert.equal(commandOf(typed.split(' ').filter((word) => word !== '')), name, typed);
  assert.doesNotMatch(commandOf(['init', '\u001b[2J']), /\u001b/);
});

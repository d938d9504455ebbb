import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { credentialProblems } from '../../../src/install/systemd/credentials.ts';
import { tempDir } from '../../support/until.ts';

// What systemd 252 and 257 do with each of these was looked up by trying it.
interface Case {
  readonly name: string;
  readonly path: string;
  readonly size?: number;
  readonly problem?: RegExp;
}

const CASES: readonly Case[] = [
  { name: 'a key', path: 'backup.key' },
  { name: 'a blank', path: 'config copy.yaml' },
  { name: 'a folder', path: 'keys/of/backup' },
  { name: 'an empty folder', path: 'a:b/' },
  { name: 'a hidden file', path: '.git:', size: 2_000_000 },
  { name: 'a hidden folder', path: 'keys/.git/a:b', size: 2_000_000 },
  { name: 'the longest name', path: 'x'.repeat(251) },
  { name: 'a longer one', path: 'x'.repeat(252), problem: /the name of \S+ is too long: .*move it away/ },
  {
    name: 'a time of day',
    path: 'config.yaml.12:30',
    problem: /config\.yaml\.12:30" has a colon, or a character that is not ASCII/,
  },
  { name: 'an umlaut', path: 'keys/für', problem: /für" has .* not ASCII/ },
  { name: 'a tab', path: 'a\tb', problem: /a\\tb" has .* not ASCII/ },
  {
    name: 'a large file',
    path: 'log',
    size: 1_048_000,
    problem: /holds more than 1 MiB, and \S+log is the largest/,
  },
];

for (const { name, path, size = 5, problem } of CASES) {
  test(`hands over through systemd: ${name}`, async (t) => {
    const dir = await tempDir(t);
    mkdirSync(join(dir, path, '..'), { recursive: true });
    if (path.endsWith('/')) mkdirSync(join(dir, path));
    else {
      writeFileSync(join(dir, path), '');
      truncateSync(join(dir, path), size);
    }
    const problems = await credentialProblems(dir);
    assert.equal(problems.length, problem === undefined ? 0 : 1, problems.join());
    if (problem !== undefined) assert.match(problems[0]!, problem);
  });
}

test('refuses a socket and a megabyte of files, and no link, when systemd is to hand them over', async (t) => {
  const dir = await tempDir(t);
  for (const [name, to] of [
    ['dangling:', '/nowhere'],
    ['null', '/dev/null'],
    ['up', '..'],
  ] as const)
    symlinkSync(to, join(dir, name));
  assert.deepEqual(await credentialProblems(dir), []);
  const server = createServer().listen(join(dir, 's'));
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  assert.match((await credentialProblems(dir)).join(), /s is a socket: .*move it away/);
  for (let number = 0; number < 256; number += 1) writeFileSync(join(dir, `f${number}`), 'x');
  assert.match((await credentialProblems(dir)).join(), /more than 1 MiB/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEnvironmentFile } from '../../../src/install/takeover/environment-file.ts';
import { ENVIRONMENT_FILES } from './environment-files.ts';

test('reads assignments as systemd reads them', () => {
  for (const [text, found] of ENVIRONMENT_FILES)
    assert.deepEqual(readEnvironmentFile(text), found, JSON.stringify(text));
});

test('does not guess when systemd has read a line in two ways, or when it is no text', () => {
  const found = readEnvironmentFile('# a comment \\\nA=1\n');
  assert.match(typeof found === 'string' ? found : '', /a comment ends with a backslash/);
  assert.equal(readEnvironmentFile('A=1\0'), 'it is not a text file');
  const long = `A=${'x '.repeat(200_000)}${' '.repeat(200_000)}`;
  assert.equal(typeof readEnvironmentFile(long), 'object');
});

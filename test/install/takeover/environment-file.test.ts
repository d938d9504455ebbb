import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEnvironmentFile } from '../../../src/install/takeover/environment-file.ts';
import { ENVIRONMENT_FILES } from './environment-files.ts';

test('assignments are read as systemd reads them', () => {
  for (const [text, found] of ENVIRONMENT_FILES)
    assert.deepEqual(readEnvironmentFile(text), found, JSON.stringify(text));
});

test('what systemd has read in two ways, or is no text, is not guessed at', () => {
  const found = readEnvironmentFile('# a comment \\\nA=1\n');
  assert.match(typeof found === 'string' ? found : '', /a comment ends with a backslash/);
  assert.equal(readEnvironmentFile('A=1\0'), 'it is not a text file');
  const long = `A=${'x '.repeat(200_000)}${' '.repeat(200_000)}`;
  assert.equal(typeof readEnvironmentFile(long), 'object');
});

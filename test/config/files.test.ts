import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import type { ConfigEnvironment } from '../../src/config/environment.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { ConfigError, formatProblem } from '../../src/config/problem.ts';

const pi: ConfigEnvironment = {
  home: '/home/pi',
  userName: 'pi',
  uid: 1000,
  platform: 'linux',
  env: {},
  aes: true,
  directory: '/home/pi',
};

const folder = (name: string) => new URL(`${name}/`, import.meta.url);
const read = (name: string, file: string) => readFileSync(new URL(file, folder(name)), 'utf8');

for (const file of readdirSync(folder('invalid')).filter((name) => name.endsWith('.yaml'))) {
  test(`invalid/${file} is refused with every problem and its place`, async () => {
    const expected = read('invalid', file.replace('.yaml', '.expected')).trimEnd().split('\n');
    assert.deepEqual(await problemsOf(read('invalid', file)), expected);
  });
}

for (const file of readdirSync(folder('valid')).filter((name) => name.endsWith('.yaml'))) {
  test(`valid/${file} is read completely`, async () => {
    const config = await parseConfig(read('valid', file), '/etc/tunneld/config.yaml', pi);
    assert.deepEqual(JSON.parse(JSON.stringify(config)), JSON.parse(read('valid', file.replace('.yaml', '.json'))));
  });
}

test('a secret in the wrong place is not repeated', async () => {
  const [problem] = await problemsOf('tunnels:\n  a: { host: h, remoteForward: "1:a:2", passphrase: hunter2 }\n');
  assert.match(problem ?? '', /passphraseFile/);
  assert.doesNotMatch(problem ?? '', /hunter2/);
});

test('what a message quotes is safe to print', async () => {
  const [problem] = await problemsOf('tunnels:\n  a: { host: "h\\u001b[2J", remoteForward: "1:a:2" }\n');
  assert.match(problem ?? '', /host/);
  assert.doesNotMatch(problem ?? '', /\u001b/);
});

async function problemsOf(text: string): Promise<readonly string[]> {
  let config: Config;
  try {
    config = await parseConfig(text, 'FILE', pi);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map(formatProblem);
  }
  return assert.fail(`it was accepted: ${JSON.stringify(config)}`);
}

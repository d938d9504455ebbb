import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseConfig } from '../src/config/parse.ts';
import { systemEnvironment } from '../src/config/environment.ts';
import { FAILURES } from '../src/tunnel/failure.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test('the README explains every failure code and no other', () => {
  const explained = [...readme.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code);
  assert.deepEqual(explained, Object.keys(FAILURES));
});

test("the README's configuration is valid", async () => {
  const yaml = /```yaml\n([^`]+)```/.exec(readme)?.[1] ?? '';
  const config = await parseConfig(yaml, '/etc/tunneld/config.yaml', systemEnvironment());
  assert.deepEqual(
    config.tunnels.map(({ name, host, forwards }) => [name, host, forwards.length]),
    [['backup', 'something.dedyn.io', 1]],
  );
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseConfig } from '../src/config/parse.ts';
import { systemEnvironment } from '../src/config/input/environment.ts';
import { KEYWORD_NAMES } from '../src/config/ssh-config/keywords.ts';
import { SSH_FLAGS } from '../src/config/command-line/flags.ts';
import { REFUSED } from '../src/config/ssh-config/refused-options.ts';
import { HONOURED } from '../src/config/ssh-config/to-options.ts';
import { FAILURES } from '../src/model/failure.ts';

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

test('the README says of every option of ssh what becomes of it', () => {
  const expected = {
    option: 'as in ssh',
    implied: 'what tunneld does anyway',
    idle: 'accepted without effect',
    refused: 'refused',
  };
  for (const [letter, { use }] of Object.entries(SSH_FLAGS)) {
    const row = new RegExp(`^\\|[^|]*\`-${letter}\`[^|]*\\| (.*) \\|$`, 'm').exec(readme)?.[1] ?? '';
    const meaning =
      use.type === 'own' ? (use.what === 'monitor' ? expected.idle : expected.option) : expected[use.type];
    assert.ok(row.startsWith(meaning), `-${letter}: ${row}`);
  }
});

test('the README says of every option of ssh_config what becomes of it', () => {
  const [, honoured = '', refused = '', idle = ''] =
    /^Honoured, (.*?)^Refused (.*?)^Accepted without effect, (.*?)<\/details>/ms.exec(readme) ?? [];
  const blocks = ['host', 'match', 'include'];
  assert.ok(KEYWORD_NAMES.length > 90);
  for (const name of KEYWORD_NAMES) {
    const key = name.toLowerCase();
    const served = (HONOURED.has(key) && key !== 'certificatefile') || blocks.includes(key);
    const place = served ? honoured : REFUSED.has(key) || key === 'certificatefile' ? refused : idle;
    for (const text of [honoured, refused, idle])
      if (text === place || name !== 'Match') assert.equal(text.includes(`\`${name}\``), text === place, name);
  }
});

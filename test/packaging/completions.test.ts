import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createProgram } from '../../src/program/program.ts';
import { tempDir } from '../support/until.ts';
import { makeDocuments } from './make-documents.ts';

const CONFIG = `# tunnels:
defaults: { port: 22 }
tunnels:
  # a comment
  backup:
    host: a.example
    remoteForward: 8080:localhost:22

  web-2: { host: b.example, remoteForward: "8081:localhost:80" }
network:
  ping: []
`;

test('completes commands, options, their values and tunnels in bash', async (t) => {
  const script = join(await makeDocuments(t), 'completions/tunneld.bash');
  const { folder, env } = await someFiles(t);
  const ask = (line: string) => {
    const words = line.split(' ');
    const call = `source ${script}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _tunneld; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-uc', call], {
      cwd: folder,
      env,
      encoding: 'utf8',
    });
    assert.deepEqual([status, stderr], [0, '']);
    return stdout.trim().split('\n').toSorted();
  };
  const commands = [...createProgram([], () => {}).commands.map((command) => command.name()), 'help'];
  assert.deepEqual(ask('tunneld '), commands.toSorted());
  assert.deepEqual(ask('tunneld st'), ['status']);
  assert.deepEqual(ask('tunneld --ver'), ['--version']);
  assert.deepEqual(ask('tunneld status --'), ['--check', '--config', '--help', '--json', '--prometheus', '--watch']);
  assert.deepEqual(ask('tunneld status '), ['backup', 'web-2']);
  assert.deepEqual(ask('tunneld logs -f w'), ['web-2']);
  assert.deepEqual(ask('tunneld logs --lines '), ['']);
  assert.deepEqual(ask('tunneld server-setup --for '), ['debian', 'macos', 'nixos']);
  assert.deepEqual(ask('tunneld client-setup --user roo'), ['root']);
  assert.deepEqual(ask('tunneld --config oth'), ['other.yaml']);
  assert.deepEqual(ask('tunneld --config other.yaml doctor '), ['other']);
  assert.deepEqual(ask('tunneld run -i oth'), ['other.yaml']);
  assert.deepEqual(ask('tunneld init '), ['']);
});

test('completes commands, options, their values and tunnels in fish', async (t) => {
  const script = join(await makeDocuments(t), 'completions/tunneld.fish');
  const { folder, env } = await someFiles(t);
  const ask = (line: string) => {
    const call = `source ${script}; complete -C'${line}'`;
    const { stdout, stderr } = spawnSync('fish', ['-c', call], { cwd: folder, env, encoding: 'utf8' });
    assert.equal(stderr, '');
    return stdout
      .trim()
      .split('\n')
      .map((choice) => choice.split('\t')[0]);
  };
  assert.deepEqual(ask('tunneld st'), ['status']);
  assert.deepEqual(ask('tunneld logs -f '), ['backup', 'web-2']);
  assert.deepEqual(ask('tunneld server-setup --for '), ['debian', 'macos', 'nixos']);
  assert.deepEqual(ask('tunneld --config other.yaml doctor '), ['other']);
});

test('has no error when zsh reads it', async (t) => {
  const script = join(await makeDocuments(t), 'completions/_tunneld');
  const { status, stderr } = spawnSync('zsh', ['-n', script], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, '']);
});

async function someFiles(t: TestContext): Promise<{ folder: string; env: NodeJS.ProcessEnv }> {
  const folder = await tempDir(t);
  mkdirSync(join(folder, 'home'));
  writeFileSync(join(folder, 'config.yaml'), CONFIG);
  writeFileSync(join(folder, 'other.yaml'), 'tunnels:\n    other:\n        host: c.example\n');
  const env = { PATH: process.env['PATH'], HOME: join(folder, 'home'), TUNNELD_CONFIG: join(folder, 'config.yaml') };
  return { folder, env };
}

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { folderOfNode, FURTHER_NODES } from '../support/nodes.ts';
import { tempDir } from '../support/until.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

test('packs what is needed to run, and installs without a registry and without a compiler', async (t) => {
  const folder = await builtCopy(t);
  const packed = await run('npm', ['pack', '--ignore-scripts', '--json'], { cwd: folder });
  const [tarball] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[]; size: number }];
  const files = tarball.files.map(({ path }) =>
    path.replace(/^dist\/chunks\/.*\.js$/, 'dist/chunks/*.js').replace(/^docs\/.*\.md$/, 'docs/*.md'),
  );
  assert.deepEqual([...new Set(files)].toSorted(), [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'config.example.yaml',
    'dist/THIRD-PARTY-LICENSES.txt',
    'dist/chunks/*.js',
    'dist/cli.js',
    'dist/completions/_tunneld',
    'dist/completions/tunneld.bash',
    'dist/completions/tunneld.fish',
    'dist/make-code-cache.js',
    'dist/man/tunneld.1',
    'dist/man/tunneld.yaml.5',
    'dist/native/linux-arm.node',
    'dist/native/linux-arm64.node',
    'dist/native/linux-x64.node',
    'dist/package.json',
    'dist/page/icon-bad.svg',
    'dist/page/icon.svg',
    'dist/page/index.html',
    'dist/page/page.css',
    'dist/page/page.js',
    'dist/tunneld.schema.json',
    'docs/*.md',
    'docs/ansible/tunneld/defaults/main.yml',
    'docs/ansible/tunneld/tasks/main.yml',
    'docs/cloud-init.yaml',
    'docs/page.png',
    'launchd/dev.tunneld.tunneld.plist',
    'package.json',
    'systemd/tunnel.service',
  ]);
  assert.ok(tarball.size < 1_000_000, `${tarball.size} bytes`);

  const prefix = await tempDir(t);
  const offline = ['--offline', '--cache', join(prefix, 'cache'), '--ignore-scripts', '--no-audit'];
  await run('npm', ['install', '--global', '--prefix', prefix, ...offline, join(folder, tarball.filename)]);
  const tunneld = join(prefix, 'bin/tunneld');
  // Whatever is bundled is not fetched once more.
  assert.ok(!existsSync(join(prefix, 'lib/node_modules/tunneld/node_modules')));
  for (const node of [null, ...FURTHER_NODES.map(folderOfNode)]) {
    const env = node === null ? process.env : { ...process.env, PATH: `${node}:${process.env['PATH']}` };
    const { stdout } = await run(tunneld, ['--version'], { env });
    assert.match(stdout, /^tunneld \S+ \(.*, native crypto: yes\)\n$/);
  }
  const example = join(prefix, 'lib/node_modules/tunneld/config.example.yaml');
  assert.match((await run(tunneld, ['check', '--config', example])).stdout, /: 1 tunnel: backup\n$/);
  for (const page of ['man1/tunneld.1', 'man5/tunneld.yaml.5'])
    assert.match(readFileSync(join(prefix, 'share/man', page), 'utf8'), /^\.TH TUNNELD/m);
});

test('leaves nothing to be installed beside the bundle when npm installs it', () => {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.deepEqual([dependencies, optionalDependencies], [undefined, undefined]);
});

/** This project as it is built: the program that other tests are running, without the maps that coverage asks for. */
async function builtCopy(t: TestContext): Promise<string> {
  const folder = await tempDir(t);
  for (const name of readdirSync(root).filter((name) => !['node_modules', '.git'].includes(name)))
    cpSync(join(root, name), join(folder, name), { recursive: true, filter: (path) => !path.endsWith('.js.map') });
  return folder;
}

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { folderOfNode, FURTHER_NODES } from '../support/nodes.ts';
import { tempDir } from '../support/until.ts';

const script = fileURLToPath(new URL('../../packaging/deb.mjs', import.meta.url));

test('makes the same packages when the sources are the same, with the same files for all processors', async (t) => {
  const build = async (umask: string, ...more: readonly string[]) => {
    const folder = await tempDir(t);
    const call = `umask ${umask} && exec "$0" "$@"`;
    const env = { ...process.env, SOURCE_DATE_EPOCH: '1800000000' };
    execFileSync('sh', ['-c', call, process.execPath, script, '--outdir', folder, ...more], { env });
    return readdirSync(folder)
      .toSorted()
      .map((name) => join(folder, name));
  };
  const packages = await build('022', '--compression', 'none');
  const [again = ''] = await build('077', '--architecture', 'amd64', '--compression', 'none');
  assert.deepEqual(
    packages.map((file) => /_([^_]+)\.deb$/.exec(file)?.[1]),
    ['amd64', 'arm64', 'armhf'],
  );
  assert.ok(readFileSync(packages[0]!).equals(readFileSync(again)), 'amd64 differs');

  const files = (file: string) => execFileSync('dpkg-deb', ['--fsys-tarfile', file], { maxBuffer: 64 * 1024 * 1024 });
  for (const file of packages) assert.ok(files(file).equals(files(packages[0]!)), `${file} has other files`);
  const field = (name: string) =>
    execFileSync('dpkg-deb', ['--field', packages[0]!, name], { encoding: 'utf8' }).trim();
  assert.equal(field('Depends'), 'nodejs (>= 20.19)');

  const list = execFileSync('dpkg-deb', ['--contents', packages[0]!], { encoding: 'utf8' }).trim().split('\n');
  const modes = list.map((line) => line.split(/ +/).slice(0, 2).join(' '));
  assert.deepEqual(
    new Set(modes.filter((mode) => !/^(?:drwxr-xr-x|-rw-r--r--|lrwxrwxrwx) root\/root$/.test(mode))),
    new Set(['-rwxr-xr-x root/root']),
  );
  for (const path of [
    'bin/tunneld',
    'share/man/man1/tunneld.1.gz',
    'share/bash-completion/completions/tunneld',
    'lib/tunneld/tunneld.schema.json',
    'lib/tunneld/page/page.js',
  ])
    assert.ok(
      list.some((line) => line.includes(` ./usr/${path}`)),
      path,
    );

  const unpacked = await tempDir(t);
  execFileSync('dpkg-deb', ['--extract', packages[0]!, unpacked]);
  const program = join(unpacked, 'usr/lib/tunneld/cli.js');
  for (const folder of FURTHER_NODES.map(folderOfNode).filter((folder) => folder !== null)) {
    const version = execFileSync(join(folder, 'node'), [program, '--version'], { encoding: 'utf8' });
    assert.match(version, /^tunneld \S+ \(.*, native crypto: yes\)\n$/);
  }
});

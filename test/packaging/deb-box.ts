import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { SystemdBox } from '../support/systemd-box.ts';
import { tempDir } from '../support/until.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'packaging/deb.mjs');

/** Builds the package of the sources as they are under another version's number, or of the program as it is built, and gives its path in the box. */
export async function buildDeb(t: TestContext, box: SystemdBox, version: string | null): Promise<string> {
  const folder = await tempDir(t);
  const from = version === null ? ['--dist', join(root, 'dist')] : ['--version', version];
  const args = ['--outdir', folder, ...from, '--architecture', 'amd64', '--compression', 'none'];
  const { stdout } = await run(process.execPath, [script, ...args]);
  // The test runs on any processor: nothing in the package is made for one.
  return intoBox(box, stdout.trim());
}

/**
 * A package `nodejs` whose /usr/bin/node is the Node that runs the tests. The tests need no registry of packages, Debian 12 has
 * no Node that is new enough, and a Node that came another way is unknown to dpkg.
 */
export async function installNode(t: TestContext, box: SystemdBox): Promise<void> {
  const tree = join(await tempDir(t), 'nodejs');
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  mkdirSync(join(tree, 'DEBIAN'));
  symlinkSync('/usr/local/bin/node', join(tree, 'usr/bin/node'));
  const fields = [
    'Package: nodejs',
    'Version: 99-stand-in',
    'Architecture: all',
    'Maintainer: the tests <test@localhost>',
  ];
  writeFileSync(join(tree, 'DEBIAN/control'), [...fields, 'Description: stands in for Node', ''].join('\n'));
  await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, `${tree}.deb`]);
  await box.must('dpkg', '--no-triggers', '--force-depends', '--install', intoBox(box, `${tree}.deb`));
}

/** Takes away what this machine has of tunneld, and what containers have so that packages start no services and bring no manuals. */
export async function withoutTraces(box: SystemdBox): Promise<void> {
  for (const path of [
    '/etc/tunneld',
    '/var/lib/tunneld',
    '/usr/local/lib/node_modules/tunneld',
    '/etc/dpkg/dpkg.cfg.d',
  ])
    rmSync(box.path(path), { recursive: true, force: true });
  for (const path of ['/usr/local/bin/tunneld', '/usr/sbin/policy-rc.d']) rmSync(box.path(path), { force: true });
  if ((await box.run('id', 'tunneld')).code === 0) await box.must('userdel', 'tunneld');
}

/** The names of all files, and all users and groups, but for the notes that other programs make of installations. */
export async function whatIsInstalled(box: SystemdBox): Promise<readonly string[]> {
  const notes = NOTES.flatMap((path) => ['-path', path, '-o']);
  const files = await box.must('find', ...PLACES, '(', ...notes, '-false', ')', '-prune', '-o', '-print');
  const accounts = await box.must('cat', '/etc/passwd', '/etc/group', '/etc/shadow', '/etc/gshadow');
  return `${files}${accounts}`.split('\n').toSorted();
}

const PLACES = ['/etc', '/usr', '/var', '/run'];
const NOTES = ['/var/lib/dpkg', '/var/log', '/var/cache', '/run/log', '/run/systemd', '/etc/*-'];

function intoBox(box: SystemdBox, file: string): string {
  const inside = `/tmp/${file.split('/').at(-1)}`;
  copyFileSync(file, box.path(inside));
  return inside;
}

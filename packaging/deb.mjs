// Builds the Debian packages: `node packaging/deb.mjs [--outdir DIR] [--version VERSION] [--dist DIR] [--architecture NAME]... [--compression NAME]`.
// All architectures have the same content: JavaScript, and encryption as WebAssembly. The build is reproducible: the same sources, with
// SOURCE_DATE_EPOCH or a commit, make the same bytes.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { control, md5sums } from './deb/control.mjs';
import { sealTree } from './deb/seal-tree.mjs';
import { stageFiles } from './deb/stage-files.mjs';
import { sourceDate } from './source-date.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { values: options } = parseArgs({
  options: {
    outdir: { type: 'string', default: join(root, 'dist-deb') },
    version: { type: 'string', default: manifest.version },
    dist: { type: 'string' }, // of that version, built already
    architecture: { type: 'string', multiple: true, default: ['amd64', 'arm64', 'armhf'] },
    compression: { type: 'string', default: 'xz' }, // of dpkg-deb
  },
});
const outdir = resolve(options.outdir);
const date = sourceDate(root);
const version = options.version.replace('-', '~'); // 1.0.0-beta.1 comes before 1.0.0 here too
const env = {
  ...process.env,
  SOURCE_DATE_EPOCH: String(Math.floor(date.getTime() / 1000)),
  DPKG_DEB_THREADS_MAX: '1', // xz's result depends on how many work at it
};

const work = mkdtempSync(join(tmpdir(), 'tunneld-deb-'));
try {
  const dist = options.dist ?? join(work, 'dist');
  for (const script of options.dist === undefined ? ['build.mjs', 'documents.mjs'] : [])
    run(process.execPath, [join(root, 'packaging', script), '--outdir', dist, '--version', options.version]);
  const tree = join(work, 'tree');
  stageFiles(tree, { root, dist, version, date });
  mkdirSync(outdir, { recursive: true });
  for (const architecture of options.architecture) {
    writeFileSync(join(tree, 'DEBIAN/md5sums'), md5sums(tree));
    writeFileSync(join(tree, 'DEBIAN/control'), control(tree, { version, architecture }));
    sealTree(tree, date);
    const file = join(outdir, `tunneld_${version}_${architecture}.deb`);
    run('dpkg-deb', ['--root-owner-group', `-Z${options.compression}`, '--build', tree, file]);
    process.stdout.write(`${file}\n`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

function run(program, args) {
  try {
    execFileSync(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    throw new Error(`${program} is missing: install dpkg`, { cause: error });
  }
}

// Makes JavaScript of src and test at once, file by file, for those who run many tests: `node test/compile.mjs` puts it into OUT. Each
// test file is a process of its own, and there tsx costs a third of a second. A file keeps believing that it is where its source is.
import { build } from 'esbuild';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Below node_modules: packages are found from there, and nobody formats, lints or packs it. */
const OUT = join(root, 'node_modules/.cache/tunneld-tests');
/** Where it is no TypeScript it starts its threads from worker.js beside it, as in a bundle. */
const STARTS_WORKER = 'src/lib/async/run-in-worker.ts';

rmSync(OUT, { recursive: true, force: true }); // a test that is no longer there would run for ever
const common = {
  outdir: OUT,
  outbase: root,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  logLevel: 'warning',
  absWorkingDir: root,
  plugins: [{ name: 'file-by-file', setup: ({ onLoad }) => onLoad({ filter: /\.ts$/ }, compiledAlone) }],
};
// Node reads the maps of all files that a test loads, wanted or not: who measures coverage wants those of src too.
const sourcemap = process.argv.includes('--maps') ? 'linked' : false;
await Promise.all([
  build({ ...common, entryPoints: sourcesIn('src'), sourcemap }),
  build({ ...common, entryPoints: sourcesIn('test'), sourcemap: 'linked' }),
]);
writeFileSync(join(OUT, dirname(STARTS_WORKER), 'worker.js'), "import '../../worker.js';\n");

function sourcesIn(folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => join(root, folder, path));
}

function compiledAlone({ path }) {
  const here = dirname(path);
  const urlOf = (file) => JSON.stringify(pathToFileURL(resolve(here, file)).href);
  // As prettier writes them, statements alone begin at the margin; what looks like them in a test's own text does not.
  const contents = readFileSync(path, 'utf8')
    .replaceAll(/^((?:import|export|\})[^'\n]*)'(\.[^']*)\.ts'/gm, "$1'$2.js'")
    .replaceAll(/^((?:import|export|\})[^'\n]*)'(\.[^']*\.mjs)'/gm, (_, before, file) => before + urlOf(file))
    .replaceAll(path.startsWith(join(root, 'src')) ? /(?<=\bimport\()'(\.[^']*)\.ts'/g : /(?!)/g, "'$1.js'")
    .replaceAll("'#ssh2'", urlOf(join(root, 'packaging/ssh2.mjs')));
  if (path === join(root, STARTS_WORKER)) return { contents, loader: 'ts' };
  return {
    contents: contents
      .replaceAll('import.meta.url', urlOf(path))
      .replaceAll('import.meta.dirname', JSON.stringify(here)),
    loader: 'ts',
  };
}

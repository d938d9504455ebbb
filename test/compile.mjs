// Makes JavaScript of the tests, with what they share in chunks, for those who run many: `node test/compile.mjs [--maps]` puts it into OUT.
// Each test file is a process of its own, and there tsx costs a third of a second, and hundreds of small files a fifth. A source keeps
// believing that it is where it is.
import { build } from 'esbuild';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { together } from '../packaging/together.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Below node_modules: packages are found from there, and nobody formats, lints or packs it. */
const OUT = join(root, 'node_modules/.cache/tunneld-tests');
/** Where it is no TypeScript it starts its threads from worker.js beside it, as in the bundle that users have. */
const STARTS_WORKER = join(root, 'src/lib/async/run-in-worker.ts');
const coverage = process.argv.includes('--maps');

// esbuild, a program in Go, is over before its garbage matters, and to collect it would be a third of the work.
process.env['GOGC'] ??= 'off';
rmSync(OUT, { recursive: true, force: true }); // a test that is no longer there would run for ever
const files = [
  { in: join(root, 'src/worker.ts'), out: 'chunks/worker' },
  ...entries().map((name) => ({ in: join(root, `${name}.ts`), out: name })),
];
await build({
  entryPoints: files,
  outdir: OUT,
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  // Who measures coverage wants every function of src, called or not, and under no other name.
  treeShaking: !coverage,
  external: ['esbuild', 'typescript', 'tsx', 'playwright-core', 'axe-core'], // they look for files beside them
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  banner: {
    js: [
      "import { createRequire as createRequireOf } from 'node:module';",
      'const require = createRequireOf(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname;',
    ].join('\n'),
  },
  sourcemap: 'linked',
  sourcesContent: false, // Node reads the maps of all files that a test loads, wanted or not
  absWorkingDir: root,
  logLevel: 'warning',
  plugins: [
    together({ root, folder: join(root, 'src/'), entries: files.map((file) => file.in), read: withItsPlace }),
    { name: 'where-the-source-is', setup: keepPlaces },
  ],
});
// Else Node looks into each of them for what it is, which is a sixth of what it takes to load a test.
writeFileSync(join(OUT, 'package.json'), '{"type":"module"}\n');

function entries() {
  const paths = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).map((path) =>
    join('test', path),
  );
  const tests = paths.filter((path) => path.endsWith('.test.ts'));
  // What a test gives to another process: test/support/separately.ts.
  const separate = tests.flatMap((path) =>
    [...readFileSync(join(root, path), 'utf8').matchAll(/\bseparately\('([^']+)'\)/g)].map(([, module]) => module),
  );
  const all = new Set([...tests, ...separate, 'test/run.ts', 'test/coverage.ts']);
  return [...all].map((path) => path.slice(0, -'.ts'.length));
}

function keepPlaces({ onLoad, onResolve }) {
  // JavaScript of ours is what it is: it looks for its own files, and ssh2 is to be there once.
  const asItIs = (path) => ({ path: pathToFileURL(path).href, external: true });
  onResolve({ filter: /^#ssh2$/ }, () => asItIs(join(root, 'packaging/ssh2.mjs')));
  onResolve({ filter: /^\..*\.mjs$/ }, ({ path, resolveDir }) =>
    resolveDir.includes('/node_modules/') ? undefined : asItIs(resolve(resolveDir, path)),
  );
  onLoad({ filter: /\.ts$/ }, ({ path }) => ({ contents: withItsPlace(path), loader: 'ts' }));
}

function withItsPlace(path) {
  const place = path === STARTS_WORKER ? join(OUT, 'chunks/run-in-worker.js') : path;
  return readFileSync(path, 'utf8')
    .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(place).href))
    .replaceAll('import.meta.dirname', JSON.stringify(dirname(place)));
}

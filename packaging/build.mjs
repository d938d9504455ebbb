// Bundles src/cli.ts into dist/, with all packages it needs, which are development dependencies for that reason:
// `node packaging/build.mjs [--outdir DIR] [--entry FILE] [--version VERSION] [--cache] [--maps]`.
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { commonJs, PLACES } from './common-js.mjs';
import { together } from './together.mjs';
import { REPLACED_FILES, replacedFile } from './ssh2-replacements.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { values: options } = parseArgs({
  options: {
    version: { type: 'string', default: manifest.version },
    outdir: { type: 'string', default: join(root, 'dist') },
    entry: { type: 'string', default: join(root, 'src/cli.ts') },
    cache: { type: 'boolean', default: false }, // code cache for this Node.js
    maps: { type: 'boolean', default: false }, // source maps beside the files, which say nothing of them
  },
});
const outdir = resolve(options.outdir);
const cli = join(outdir, `${basename(options.entry).replace(/\.[^.]+$/, '')}.js`);

// V8's helper threads do not help where the garbage is network buffers: on two processors they cost a third of the throughput in the
// benchmark. --single-threaded-gc cannot be set later: V8 aborts when it changes at run time. One thread is left to compile what runs hot: four
// keep 2 MiB of memory, and a daemon has no work for them. Other flags of V8 (--expose-gc, --max-lazy) have Node compile its own modules at every
// start, since what it has compiled already is for the usual ones: a fifth of a start (src/host/idle-memory.ts collects garbage without).
// The address keeps Node's debugger from opening, on SIGUSR1 or by NODE_OPTIONS, before src/lib/debugger.ts runs: no machine has such an
// address (RFC 1112 section 4). Node 20 has no --disable-sigusr1 yet.
const flags = '--single-threaded-gc --v8-pool-size=1 --inspect-port=240.0.0.1:9229';

// esbuild, a program in Go, is over before its garbage matters, and to collect it would be a tenth of the work.
process.env['GOGC'] ??= 'off';
// Names of chunks carry a hash, and maps are not always made: old files would stay forever.
for (const name of ['code.cache', 'chunks', 'page', `${basename(cli)}.map`])
  rmSync(join(outdir, name), { recursive: true, force: true });
const { metafile, outputFiles } = await build({
  // The worker is among the chunks, because a chunk starts it (src/lib/async/run-in-worker.ts).
  entryPoints: [
    { in: resolve(options.entry), out: basename(cli, '.js') },
    { in: join(root, 'src/worker.ts'), out: 'chunks/worker' },
    { in: join(root, 'src/lib/code-cache.ts'), out: 'chunks/code-cache' },
  ],
  outdir,
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true, // commands are imported on demand: `status` loads neither ssh2 nor the schema
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minifySyntax: true, // not names: stack traces stay readable
  minifyWhitespace: true, // the daemon keeps the text of what it has loaded
  lineLimit: 100,
  define: {
    ...PLACES,
    TUNNELD_VERSION: JSON.stringify(options.version),
    TUNNELD_NATIVE: JSON.stringify('../native'),
    TUNNELD_UNIT: JSON.stringify(readFileSync(join(root, 'systemd/tunnel.service'), 'utf8')),
  },
  legalComments: 'external',
  sourcemap: options.maps ? 'external' : false,
  conditions: ['bundle'], // `#ssh2` is ssh2 itself
  plugins: [unusedPartsStayOut(), ssh2IsMended(), neededTogether()],
  absWorkingDir: root,
  metafile: true,
  write: false,
  logLevel: 'warning',
});
// A hook of Node.js that gives the text of this file has it get another `require`.
const FROM_CHUNKS =
  'const fromChunks=require("./chunks/code-cache.js").cachedRequire(require("node:module").createRequire(__filename),`${__dirname}/chunks`);';
const notices = [];
for (const { path, text } of outputFiles) {
  mkdirSync(dirname(path), { recursive: true });
  if (path.endsWith('.LEGAL.txt')) notices.push(text);
  // Node.js can be given what V8 has compiled of it before (src/lib/code-cache.ts), and starts sooner without a module of ECMAScript.
  else if (path === cli) writeProgram(path, commonJs(text, 'fromChunks', FROM_CHUNKS));
  else writeFileSync(path, path.endsWith('.js') ? commonJs(text) : text);
}
await buildPage();
// TUNNELD_NATIVE is the way from a chunk to the addons.
for (const [file, { inputs }] of Object.entries(metafile.outputs))
  if (Object.keys(inputs).some((name) => name.endsWith('src/lib/addon.ts')) && !file.includes('/chunks/'))
    throw new Error(`src/lib/addon.ts is in ${file}, and not in a chunk`);
cpSync(join(root, 'packaging/native/prebuilt'), join(outdir, 'native'), {
  recursive: true,
  filter: (name) => !name.endsWith('SHA256SUMS'),
});
// Called where the program is installed, with the Node.js that runs it: another one's cache is of no use.
const maker = join(outdir, 'make-code-cache.js');
writeProgram(
  maker,
  `try {
  require('./chunks/code-cache.js').makeCodeCache(__dirname + '/chunks');
} catch (error) {
  console.error('tunneld: the code cache cannot be written: ' + error.message);
  process.exitCode = 1;
}
`,
);
writeFileSync(join(outdir, 'package.json'), '{"type":"commonjs"}\n'); // dist/ is complete: it runs wherever it is copied
writeFileSync(join(outdir, 'THIRD-PARTY-LICENSES.txt'), thirdPartyLicences());
if (options.cache) execFileSync(maker);

function writeProgram(file, text) {
  writeFileSync(file, `#!/usr/bin/env -S node ${flags}\n${text}`);
  chmodSync(file, 0o755);
}

/** What a browser loads: one script, one style sheet, and the files that name them. */
async function buildPage() {
  const from = join(root, 'src/page');
  const to = join(outdir, 'page');
  await build({
    entryPoints: [join(from, 'page.ts'), join(from, 'page.css')],
    outdir: to,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    sourcemap: options.maps ? 'external' : false,
    absWorkingDir: root,
    logLevel: 'warning',
  });
  for (const name of ['index.html', 'icon.svg', 'icon-bad.svg']) copyFileSync(join(from, name), join(to, name));
}

/**
 * Parts that ssh2 loads and tunneld never uses: SFTP, HTTP agents with https and tls (half a MiB of the daemon's memory), and the
 * client of SSH agents, of which ssh2 asks whether the options of a connection have one.
 */
function unusedPartsStayOut() {
  return {
    name: 'unused-parts-stay-out',
    setup(plugin) {
      plugin.onLoad({ filter: /ssh2\/lib\/(?:protocol\/SFTP|http-agents)\.js$/ }, () => ({
        contents: 'module.exports = {};',
        loader: 'js',
      }));
      plugin.onLoad({ filter: /ssh2\/lib\/agent\.js$/ }, () => ({
        contents: 'exports.isAgent = () => false;',
        loader: 'js',
      }));
    },
  };
}

/** Few files for each command: to load one takes its time. */
function neededTogether() {
  const source = (name) => join(root, 'src', name);
  return together({
    root,
    folder: source(''),
    entries: [resolve(options.entry), source('worker.ts')],
    first: source('cli.ts'),
    main: source('program/main.ts'),
    daemon: source('commands/daemon/run.ts'),
  });
}

/** Every bundle with ssh2 has the replacements. */
function ssh2IsMended() {
  const missing = new Set(REPLACED_FILES);
  return {
    name: 'ssh2-is-mended',
    setup(plugin) {
      plugin.onLoad({ filter: /\/node_modules\/ssh2\/lib\/.*\.js$/ }, ({ path }) => {
        const folder = path.slice(0, path.lastIndexOf('/lib/protocol/') + 1 || path.lastIndexOf('/lib/') + 1);
        missing.delete(path.slice(folder.length));
        return { contents: replacedFile(folder, path), loader: 'js' };
      });
      plugin.onEnd(({ metafile }) => {
        if (Object.keys(metafile.inputs).some((file) => file.includes('/ssh2/lib/')) && missing.size > 0)
          throw new Error(`the bundle lacks replacements in ssh2: ${[...missing].join(', ')}`);
      });
    },
  };
}

/** The licences of all packages in the bundle, and the notices of single files, in one text. */
function thirdPartyLicences() {
  const folders = new Set(
    Object.keys(metafile.inputs).flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []),
  );
  const packages = [...folders].toSorted().map((folder) => {
    const { name, version, license, licenses } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? '' : `\n\n${readFileSync(join(root, folder, file), 'utf8').trim()}`;
    return `${name} ${version} (${license ?? licenses[0].type})${text}\n`;
  });
  return [...packages, ...notices].join(`\n${'-'.repeat(80)}\n\n`);
}

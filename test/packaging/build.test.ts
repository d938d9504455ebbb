import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { on } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { takeTextFor } from '../support/code-cache.ts';
import { tempDir } from '../support/until.ts';
import { makeKey } from '../support/login.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);

/** A program with what is delicate in ours: our addon, ssh2's WebAssembly, and imports on demand. */
const PROBE = `
import { VERSION } from ${JSON.stringify(join(root, 'src/lib/version.ts'))};
void probe();
async function probe() {
const { nativeCodec } = await import(${JSON.stringify(join(root, 'src/connection/ssh2/packets/native.ts'))});
const { default: crypto } = await import('ssh2/lib/protocol/crypto.js');
await crypto.init; // compiles the WebAssembly
const { default: ssh2 } = await import('ssh2');
const { default: kex } = await import('ssh2/lib/protocol/kex.js');
const mended = String(kex.onKEXPayload).includes('this._kex.sessionID'); // of packaging/ssh2-replacements.mjs
const { default: pino } = await import('pino');
pino({ enabled: false }).info('quiet');
console.log(JSON.stringify({ version: VERSION, addon: nativeCodec() !== null, client: typeof ssh2.Client, mended }));
}
`;

test('does what the sources do when it is copied elsewhere, with its addon and without', async (t) => {
  const { dist, alone } = await bundleOfProbe(t);
  const version = require('../../package.json').version;
  const expected = { version, addon: true, client: 'function', mended: true };
  assert.deepEqual(await answerOf(join(dist, 'probe.js')), expected);
  assert.deepEqual(await answerOf(join(alone, 'probe.js')), expected);
  rmSync(join(alone, 'native'), { recursive: true });
  assert.deepEqual(await answerOf(join(alone, 'probe.js')), { ...expected, addon: false });
  const bytes = readFileSync(makeKey(alone, 'key', '-t', 'ed25519', '-N', 'a secret'));
  const order = { name: 'decrypt-key', input: { bytes, passphrase: 'a secret', path: 'key' }, version };
  const worker = new Worker(join(alone, 'chunks/worker.js'), { workerData: order });
  const messages = on(worker, 'message', { close: ['exit'] });
  const types = [];
  for await (const [message] of messages)
    types.push(message.type === 'done' ? Object.keys(message.result) : message.type);
  assert.deepEqual(types, ['started', ['pem', 'comment']]);
  assert.match(readFileSync(join(dist, 'THIRD-PARTY-LICENSES.txt'), 'utf8'), /^ssh2 .* \(MIT\)\n\nCopyright/m);
});

test('takes no code from NODE_PATH or the home directory, which may be those of another user', async (t) => {
  const { alone } = await bundleOfProbe(t);
  const home = await tempDir(t);
  const trap = join(home, 'trap');
  for (const path of ['ssh2/lib/protocol/crypto/build/Release/sshcrypto.node', 'cpu-features', 'linux-x64.node']) {
    const native = join(home, '.node_modules', path);
    mkdirSync(native, { recursive: true });
    writeFileSync(join(native, 'index.js'), `require('node:fs').writeFileSync(${JSON.stringify(trap)}, '')`);
  }
  const env = { ...process.env, HOME: home, NODE_PATH: join(home, '.node_modules') };
  await run(join(alone, 'probe.js'), { env });
  cpSync(join(root, 'dist'), join(home, 'dist'), { recursive: true });
  const { stdout } = await run(join(home, 'dist/cli.js'), ['--version'], { env });
  assert.match(stdout, /native crypto: yes/);
  assert.equal(existsSync(trap), false);
});

test('starts from its bundle, and loads neither ssh2 nor zod when it prints its version', async (t) => {
  const { dist, alone } = await bundleOfProgram(t);
  rmSync(join(alone, 'native'), { recursive: true });
  for (const [folder, native] of [
    [dist, true],
    [alone, false],
  ] as const) {
    const { stdout, stderr } = await run(join(folder, 'cli.js'), ['--version']);
    const { version } = require('../../package.json');
    const expected = `tunneld ${version} (node ${process.version}, native crypto: ${native ? 'yes' : 'no'})\n`;
    assert.deepEqual([stdout, stderr], [expected, '']);
  }
  const loaded = await scriptsLoaded(t, [join(dist, 'cli.js'), '--version']);
  assert.ok(loaded.includes(join(dist, 'cli.js')));
  assert.deepEqual(partsIn(loaded, /node_modules\/(ssh2|zod)\//), []);
});

test('starts where a hook gives Node.js the text of its files', async (t) => {
  const { dist } = await bundleOfProgram(t);
  const folder = await tempDir(t);
  const hook = join(folder, 'hook.mjs');
  writeFileSync(hook, GIVES_TEXT);
  const register = join(folder, 'register.mjs');
  writeFileSync(
    register,
    `import { register } from 'node:module';\nregister(${JSON.stringify(pathToFileURL(hook))});\n`,
  );
  const { stdout } = await run(process.execPath, ['--import', register, join(dist, 'cli.js'), '--version']);
  assert.match(stdout, /^tunneld \d/);
});

const GIVES_TEXT = `
import { readFile } from 'node:fs/promises';
export async function load(url, context, next) {
  const given = await next(url, context);
  return given.format === 'commonjs' ? { ...given, source: given.source ?? (await readFile(new URL(url))) } : given;
}
`;

test('has all of the daemon in memory while it runs: an upgrade may replace its files', async (t) => {
  const { dist } = await bundleOfProgram(t);
  const first = readdirSync(join(dist, 'chunks')).find((name) => name.startsWith('run-')) ?? '';
  const reached = new Set([first]);
  for (const name of reached) {
    const text = textOf(join(dist, 'chunks', name));
    for (const [, later] of text.matchAll(LATER)) {
      // But for what is loaded at once where it is wanted: SOCKS by a tunnel (see loadProxy), HTTP by the configuration (see createWeb);
      // and for ML-KEM, which is not offered again where it is gone (see openMlKem).
      const file = join(dist, 'chunks', later!);
      assert.notDeepEqual(
        partsIn([file], /node_modules\/socks\/|src\/http\/serve-status\.ts$|node_modules\/@noble\/post-quantum\//),
        [],
        name,
      );
      for (const next of neededAtOnce(textOf(file))) reached.add(next);
    }
    for (const next of neededAtOnce(text)) reached.add(next);
  }
  assert.ok(reached.size > 5);
});

/** With strings that go on in the next line in one. */
function textOf(file: string): string {
  return readFileSync(file, 'latin1').replaceAll('\\\n', '');
}

const LATER = /\bPromise\.resolve\(\)\s*\.\s*then\(\s*\(\)\s*=>\s*\w*\(?\s*require\(\s*"\.\/([^"]+)"/g;

function neededAtOnce(text: string): string[] {
  return [...text.replaceAll(LATER, '').matchAll(/\brequire\(\s*"\.\/([^"]+)"\s*\)/g)].map(([, name]) => name!);
}

test('is compiled once, where it is installed', async (t) => {
  const { alone } = await bundleOfProgram(t);
  await run(join(alone, 'make-code-cache.js'));
  const version = async () => (await run(join(alone, 'cli.js'), ['--version'])).stdout;
  const before = await version();
  const name = readdirSync(join(alone, 'chunks')).find((one) => /^main-.*\.js$/.test(one))!;
  const main = join(alone, 'chunks', name);
  const text = readFileSync(main, 'latin1');
  const blank = text.replaceAll(/\S/g, ' ');
  writeFileSync(main, blank);
  await assert.rejects(version());
  // Who believes that this is what it has compiled shows that it does not compile.
  takeTextFor(join(alone, 'code.cache'), name, blank);
  assert.equal(await version(), before);
  writeFileSync(main, text);
  rmSync(join(alone, 'code.cache'));
  await run('mkfifo', [join(alone, 'code.cache')]); // nobody writes into it
  assert.equal(await version(), before);
});

/** Reads the arguments of ssh, says what they mean, and ends: all of the daemon is loaded by then. */
const RUN = ['run', '--print-config', '-F', 'none', '-R', '8080:localhost:80', 'user@host.invalid'];

test('loads for the daemon only what it uses: everything stays in its memory while it runs', async (t) => {
  const { dist, alone } = await bundleOfProgram(t);
  const loaded = await scriptsLoaded(t, [join(dist, 'cli.js'), ...RUN]);
  assert.notDeepEqual(partsIn(loaded, /node_modules\/(ssh2|zod|yaml)\//), []);
  // Of zod the small entry alone, and of the proxies nothing before a tunnel has one.
  assert.deepEqual(
    partsIn(loaded, /node_modules\/(zod\/v4\/(classic|locales)|socks|smart-buffer|ip-address|@noble)\//),
    [],
  );
  assert.deepEqual(
    loaded.filter((file) => /\b(?:SFTP|OpenSSHAgent)=class\b/.test(readFileSync(file, 'utf8'))),
    [],
  );
  // To load a file takes Node.js a millisecond: packaging/together.mjs.
  const files = loaded.filter((file) => file.startsWith(dist));
  assert.ok(files.length < 40, `${files.length} files`);
  // One other character, and V8 keeps the whole file with two bytes for each.
  assert.deepEqual(
    loaded.filter((file) => readFileSync(file).some((byte) => byte > 127)),
    [],
  );
  assert.deepEqual(await builtInsLoaded(t, dist), { web: [], webAssembly: false });
  assert.deepEqual(await builtInsLoaded(t, alone), { web: [], webAssembly: false });
});

/** The names of sources in these files of the bundle, as the map beside each says. */
function partsIn(files: readonly string[], wanted: RegExp): string[] {
  const maps = files.map((file) => `${file}.map`).filter((map) => existsSync(map));
  const names = maps.flatMap((map) => (JSON.parse(readFileSync(map, 'utf8')) as { sources: string[] }).sources);
  return names.filter((name) => wanted.test(name));
}

/** What the daemon has of Node's modules for the web, and whether it compiled ssh2's WebAssembly. */
async function builtInsLoaded(t: TestContext, folder: string): Promise<unknown> {
  const hook = join(await tempDir(t), 'hook.mjs');
  writeFileSync(hook, HOOK);
  const { stderr } = await run(join(folder, 'cli.js'), RUN, {
    env: { ...process.env, NODE_OPTIONS: `--import ${hook}` },
  });
  return JSON.parse(stderr.trim().split('\n').at(-1) ?? '');
}

const HOOK = `
let webAssembly = false;
const instantiate = WebAssembly.instantiate;
WebAssembly.instantiate = (...args) => {
  webAssembly = true;
  return instantiate(...args);
};
process.on('exit', () => {
  const web = process.moduleLoadList.filter((name) => /^NativeModule (http|https|http2|tls)$/.test(name));
  console.error(JSON.stringify({ web, webAssembly }));
});
`;

interface Bundle {
  readonly dist: string;
  /** A copy for the test, where there are no modules. */
  readonly alone: string;
}

/** What users get, built once for all tests, which leave `dist` as it is. */
async function bundleOfProgram(t: TestContext): Promise<Bundle> {
  ofProgram ??= build(t, () => join(root, 'src/cli.ts'));
  return await withCopy(t, await ofProgram);
}

let ofProgram: Promise<string> | null = null;

async function bundleOfProbe(t: TestContext): Promise<Bundle> {
  ofProbe ??= build(t, (folder) => {
    const entry = join(folder, 'probe.ts');
    writeFileSync(entry, PROBE);
    return entry;
  });
  return await withCopy(t, await ofProbe);
}

let ofProbe: Promise<string> | null = null;

/** Builds over an older build, of which nothing may stay. */
async function build(t: TestContext, writeEntry: (folder: string) => string): Promise<string> {
  const folder = await tempDir(t);
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const entry = writeEntry(folder);
  const dist = join(folder, 'dist');
  const folders = ['chunks', 'page'].map((name) => join(dist, name));
  for (const one of folders) {
    mkdirSync(one, { recursive: true });
    writeFileSync(join(one, 'left-over.js'), '');
  }
  const args = ['packaging/build.mjs', '--maps', '--outdir', dist, '--entry', entry];
  const { stderr } = await run(process.execPath, args, { cwd: root });
  assert.equal(stderr, '');
  for (const one of folders) assert.ok(!readdirSync(one).includes('left-over.js'), one);
  return dist;
}

async function withCopy(t: TestContext, dist: string): Promise<Bundle> {
  const alone = await tempDir(t);
  cpSync(dist, alone, { recursive: true });
  return { dist, alone };
}

async function answerOf(program: string): Promise<unknown> {
  const { stdout } = await run(program);
  return JSON.parse(stdout);
}

/** The files that Node really loaded, as its coverage data names them. */
async function scriptsLoaded(t: TestContext, args: readonly string[]): Promise<string[]> {
  const coverage = await tempDir(t);
  await run(process.execPath, args, { env: { ...process.env, NODE_V8_COVERAGE: coverage } });
  const text = readdirSync(coverage)
    .map((file) => readFileSync(join(coverage, file), 'utf8'))
    .join('');
  return [...text.matchAll(/"url":"(file:[^"]+)"/g)].map((match) => fileURLToPath(match[1] ?? ''));
}

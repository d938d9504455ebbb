import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** What each room of src may import besides itself and lib (ARCHITECTURE.md). Everything points down. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  'cli.ts': ['program'],
  'worker.ts': ['config', 'connection'],
  program: ['commands'],
  commands: [
    'daemon',
    'control',
    'doctor',
    'history',
    'metrics',
    'status',
    'install',
    'setup',
    'audit',
    'fleet',
    'server-rules',
    'connection',
    'config',
    'net',
    'host',
    'demo',
    'model',
  ],
  daemon: [
    'alerts',
    'http',
    'config',
    'connection',
    'forwarding',
    'control',
    'history',
    'host',
    'model',
    'net',
    'status',
    'supervisor',
  ],
  page: ['http', 'history', 'status', 'model'],
  http: ['control', 'metrics', 'history', 'status', 'model'],
  metrics: ['status', 'model'],
  alerts: ['supervisor', 'model'],
  control: ['history', 'status', 'supervisor', 'model'],
  doctor: ['status', 'forwarding', 'connection', 'net', 'model'],
  history: ['supervisor', 'model'],
  status: ['supervisor', 'model'],
  supervisor: ['tunnel', 'forwarding', 'connection', 'model'],
  tunnel: ['forwarding', 'connection', 'net', 'model'],
  forwarding: ['connection', 'net', 'model'],
  connection: ['net', 'model'],
  install: ['config', 'connection', 'model'],
  setup: ['config', 'server-rules', 'connection', 'net', 'model'],
  audit: ['server-rules', 'connection', 'net', 'model'],
  fleet: ['server-rules', 'connection', 'net', 'model'],
  'server-rules': ['model'],
  config: ['host', 'model'],
  net: ['model'],
  host: [],
  demo: [],
  model: [],
  lib: [],
};

const SSH2_IMPORTERS = ['connection/auth/', 'connection/ssh2/', 'demo/'];

const src = fileURLToPath(new URL('../src', import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(join(src, file), 'utf8') }));

test('assigns every file of src to a known room', () => {
  assert.ok(files.length > 0);
  assert.deepEqual(
    files.map(({ file }) => partOf(file)).filter((part) => !(part in BELOW)),
    [],
  );
});

test('finds no import that points up when all of src is read', () => {
  const wrong = files.flatMap(({ file, text }) =>
    importsOf(text)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => relative(src, join(src, dirname(file), specifier)))
      .filter((target) => !mayImport(partOf(file), partOf(target)))
      .map((target) => `${file} imports ${target}`),
  );
  assert.deepEqual(wrong, []);
});

test('finds a use for every right to import when all of src is read', () => {
  const used = new Set(
    files.flatMap(({ file, text }) =>
      importsOf(text)
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => `${partOf(file)} to ${partOf(relative(src, join(src, dirname(file), specifier)))}`),
    ),
  );
  const rights = Object.entries(BELOW).flatMap(([from, rooms]) => rooms.map((to) => `${from} to ${to}`));
  assert.deepEqual(
    rights.filter((right) => !used.has(right)),
    [],
  );
});

test('agrees with ARCHITECTURE.md when the table of imports is compared', () => {
  const text = readFileSync(join(src, '../ARCHITECTURE.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `([\w.-]+)` \| .*? \|([^|]*)\|$/gm)].map(
    ([, room = '', cell = '']) => [room, cell.split(',').map((name) => name.trim())] as const,
  );
  const shown = rows.map(([room, names]) => [room, names.filter((name) => name !== '')]);
  assert.deepEqual(Object.fromEntries(shown), BELOW);
});

test('finds no circle of files, nor of rooms inside of rooms, whatever is imported and when', () => {
  const edges = files.flatMap(({ file, text }) =>
    importsOf(text)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => ({ from: file, to: relative(src, join(src, dirname(file), specifier)) })),
  );
  assert.deepEqual(circlesOf(edges), []);
  assert.deepEqual(circlesOf(edges.map(({ from, to }) => ({ from: dirname(from), to: dirname(to) }))), []);
});

test("finds ssh2 known only to the adapter and the demo's server when imports are read", () => {
  const wrong = files
    .filter(({ text }) => importsOf(text).some((specifier) => /^#?ssh2(\/|$)/.test(specifier)))
    .filter(({ file }) => !SSH2_IMPORTERS.some((folder) => file.startsWith(folder)));
  assert.deepEqual(
    wrong.map(({ file }) => file),
    [],
  );
});

test('finds every import of ssh2 to go through #ssh2, with the replacements', () => {
  const root = join(src, '..');
  const scripts = ['src', 'test', 'packaging'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
  );
  const wrong = scripts.filter(
    (file) =>
      /\.m?[jt]s$/.test(file) && /^import (?!type )[^;]*? from 'ssh2';/m.test(readFileSync(join(root, file), 'utf8')),
  );
  assert.deepEqual(wrong, []);
});

test('finds no default export when the modules are read', () => {
  const wrong = files.filter(({ text }) => /^export\s+default\b|\bas\s+default\b\s*[,}]/m.test(withoutComments(text)));
  assert.deepEqual(
    wrong.map(({ file }) => file),
    [],
  );
});

test('finds imports in all their forms, and says no when one breaks the rule', () => {
  const text = `
    import { a } from './a.ts';
    import type {
      B,
    } from "./b.ts";
    import * as c from './c.ts'; // import d from './no.ts'
    export { e } from './e.ts';
    export * from './f.ts';
    import './g.ts';
    const h = await import('./h.ts');
    type I = import('./i.ts').I;
    /* import j from './no.ts'; */
    const url = 'https://example.org/';
    const k = require('./k.ts');`;
  assert.deepEqual(
    importsOf(text),
    ['a', 'b', 'c', 'e', 'f', 'g', 'h', 'i', 'k'].map((name) => `./${name}.ts`),
  );
  assert.equal(mayImport('lib', 'tunnel'), false);
  assert.equal(mayImport('tunnel', 'config'), false);
  assert.equal(mayImport('cli.ts', 'daemon'), false);
  assert.equal(mayImport('daemon', 'lib'), true);
  const circle = [
    { from: 'a', to: 'b' },
    { from: 'b/c', to: 'd' },
    { from: 'b', to: 'b/c' },
    { from: 'd', to: 'b' },
  ];
  assert.deepEqual(circlesOf(circle), ['b', 'b/c', 'd']);
  assert.deepEqual(circlesOf(circle.slice(1, 3)), []);
});

function partOf(file: string): string {
  return file.split(posix.sep)[0] ?? '';
}

function mayImport(from: string, to: string): boolean {
  return from === to || to === 'lib' || (BELOW[from] ?? []).includes(to);
}

/** What lies on a circle: what is left when those that nothing imports, or that import nothing, are taken away. */
function circlesOf(edges: readonly { from: string; to: string }[]): string[] {
  const others = edges.filter(({ from, to }) => from !== to);
  const left = others.filter(
    ({ from, to }) => others.some((edge) => edge.to === from) && others.some((edge) => edge.from === to),
  );
  if (left.length < others.length) return circlesOf(left);
  return [...new Set(left.map(({ from }) => from))].toSorted();
}

function importsOf(text: string): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(['"])([^'"\n]+)\1/g;
  return [...withoutComments(text).matchAll(pattern)].map((match) => match[2] ?? '');
}

/** Good enough for imports: `//` inside a string (an address) is told apart by what stands before it. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;])\/\/.*$/gm, '$1');
}

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import { cachedRequire, makeCodeCache } from '../../src/lib/code-cache.ts';
import { changedCache, takeTextFor } from '../support/code-cache.ts';
import { tempDir } from '../support/until.ts';

const FIRST = `
const { counter } = require('./second.js');
counter.count += 1;
module.exports = { counter, path: require('node:path'), second: () => require('./second.js'), place: [__filename, __dirname] };
`;
const SECOND = `exports.counter = { count: 0 }; exports.first = () => require('./first.js');`;

test('loads a folder as require() does, each file once', async (t) => {
  const { folder, usual } = await folderOf(t);
  makeCodeCache(folder);
  const load = cachedRequire(usual, folder);
  const first = load('./first.js') as First;
  assert.deepEqual([first.counter.count, first.place], [1, [join(folder, 'first.js'), folder]]);
  assert.equal(load('../folder/first.js'), first);
  assert.equal(first.path, usual('node:path'));
  assert.equal(first.second().first(), first);
  assert.equal(first.second().counter, first.counter);
  // What is not there now, or fails, may be there later, or fail again.
  for (let i = 0; i < 2; i++) assert.throws(() => load('./third.js'), { code: 'ENOENT' });
  writeFileSync(join(folder, 'third.js'), `exports.half = true; throw new Error('third');`);
  for (let i = 0; i < 2; i++) assert.throws(() => load('./third.js'), /third/);
});

test('compiles no file again, unless its text is another one by now', async (t) => {
  const { folder, usual } = await folderOf(t);
  makeCodeCache(folder);
  const countWith = (text: string) => {
    writeFileSync(join(folder, 'second.js'), text);
    return (cachedRequire(usual, folder)('./first.js') as First).counter.count;
  };
  const [one, another] = [6, 7].map((count) => SECOND.replace('count: 0', `count: ${count}`));
  assert.equal(countWith(one!), 7);
  takeTextFor(join(folder, '../code.cache'), 'second.js', another!);
  assert.equal(countWith(another!), 1);
});

test('has a file once that require() has loaded before', async (t) => {
  const { folder, usual } = await folderOf(t);
  makeCodeCache(folder);
  const before = usual(join(folder, 'second.js')) as Second;
  const first = cachedRequire(usual, folder)('./first.js') as First;
  assert.equal(first.counter, before.counter);
});

test('compiles a file of which the index says nonsense', async (t) => {
  const { folder, usual } = await folderOf(t);
  makeCodeCache(folder);
  const file = join(folder, '../code.cache');
  const cache = readFileSync(file);
  writeFileSync(
    file,
    changedCache(cache, 'second.js', (place) => ({ ...place, bytes: -1 })),
  );
  assert.equal((cachedRequire(usual, folder)('./first.js') as First).counter.count, 1);
  assert.equal(usual.cache[join(folder, 'first.js')], undefined);
});

test('is readable for the user of a service, whatever the umask of who makes it', async (t) => {
  const { folder } = await folderOf(t);
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  makeCodeCache(folder);
  assert.equal(statSync(join(folder, '../code.cache')).mode & 0o777, 0o644);
});

const SPOILT: Record<string, (cache: Buffer) => Buffer | null> = {
  'there is none': () => null,
  'it is empty': () => Buffer.alloc(0),
  'it ends within its index': (cache) => cache.subarray(0, 10),
  'it ends within the first file': (cache) => cache.subarray(0, cache.length / 3),
  'a bit of the first file is another one': (cache) =>
    changedCache(cache, 'first.js', (place, code) => {
      code[200]! ^= 1;
      return place;
    }),
  'it is no index at all': (cache) => Buffer.alloc(cache.length, 0xff),
  "it is another Node.js's": (cache) =>
    changedCache(cache, 'first.js', (place, code) => {
      // V8's hash of its version, behind a magic number.
      code.fill(0x5a, 4, 8);
      return { ...place, code: crc32(code) };
    }),
};

for (const [what, spoil] of Object.entries(SPOILT))
  test(`leaves all files to require() when ${what}`, async (t) => {
    const { folder, usual } = await folderOf(t);
    makeCodeCache(folder);
    const spoilt = spoil(readFileSync(join(folder, '../code.cache')));
    const other = join(folder, '../other/folder');
    mkdirSync(other, { recursive: true });
    for (const [name, text] of FILES) writeFileSync(join(other, name), text);
    if (spoilt !== null) writeFileSync(join(other, '../code.cache'), spoilt);
    const first = cachedRequire(usual, other)(join('../folder', './first.js')) as First;
    assert.equal(usual.cache[join(other, 'first.js')]?.exports, first);
    assert.equal(first.second().first(), first);
  });

interface First {
  readonly counter: { readonly count: number };
  readonly path: unknown;
  readonly place: readonly string[];
  second(): Second;
}

interface Second {
  readonly counter: { readonly count: number };
  first(): unknown;
}

const FILES = [
  ['first.js', FIRST],
  ['second.js', SECOND],
] as const;

async function folderOf(t: TestContext) {
  const folder = join(await tempDir(t), 'folder');
  mkdirSync(folder);
  for (const [name, text] of FILES) writeFileSync(join(folder, name), text);
  return { folder, usual: createRequire(join(folder, '../main.js')) };
}

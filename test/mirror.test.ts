import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

/** Folders for what is no one file's: a capability of the whole program, a way to install it, the means of the tests. */
const CAPABILITIES = ['whole', 'systemd', 'packaging', 'lab', 'fuzz', 'support'];

/** At the top, as what they look at: the tree itself and its papers. */
const OF_THE_TREE = ['architecture', 'example', 'mirror', 'readme', 'wall-clock'];

test('finds for every test file a file or a folder of src of its name, unless it is in a folder of a capability', () => {
  const names = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => path.replace(/\.test\.ts$/, '').replaceAll(sep, '/'));
  assert.deepEqual(
    names.filter((name) => !hasPlace(name)),
    [],
  );
  assert.equal(hasPlace('tunnel/no-such-file'), false);
  assert.equal(hasPlace('whole/lonely'), false);
});

/** `a/b.test.ts`, or `a/b.ASPECT.test.ts`, tries src/a/b.ts or src/a/b/; a capability has its own folder in test/whole. */
function hasPlace(name: string): boolean {
  if (OF_THE_TREE.includes(name)) return true;
  const [folder = '', ...inside] = name.split('/');
  if (CAPABILITIES.includes(folder)) return inside.length === (folder === 'whole' ? 2 : 1);
  const mirrored = join(root, 'src', dirname(name), name.split('/').at(-1)!.split('.')[0]!);
  return existsSync(`${mirrored}.ts`) || (existsSync(mirrored) && statSync(mirrored).isDirectory());
}

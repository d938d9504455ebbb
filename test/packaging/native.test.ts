import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const folder = join(import.meta.dirname, '../../packaging/native');
const prebuilt = join(folder, 'prebuilt');

test('has addons that were built from these sources, for every processor that the packages are for', () => {
  const sums = readFileSync(join(prebuilt, 'SHA256SUMS'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split('  ') as [sum: string, name: string]);
  const names = [
    ...readdirSync(folder)
      .filter((name) => /\.[ch]$/.test(name))
      .map((name) => `../${name}`),
    ...['arm', 'arm64', 'x64'].map((arch) => `linux-${arch}.node`),
  ];
  assert.deepEqual(sums.map(([, name]) => name).toSorted(), names.toSorted());
  for (const [sum, name] of sums)
    assert.equal(
      createHash('sha256')
        .update(readFileSync(join(prebuilt, name)))
        .digest('hex'),
      sum,
      name,
    );
});

test('needs no library but what Node has loaded, so that glibc and musl do, and no function of a compiler', () => {
  for (const name of readdirSync(prebuilt).filter((file) => file.endsWith('.node'))) {
    const bytes = readFileSync(join(prebuilt, name), 'latin1');
    const reserved = [...bytes.matchAll(/\0(__\w+)(?=\0)/g)].map(([, symbol]) => symbol);
    assert.deepEqual(reserved, ['__errno_location'], name);
    assert.equal(bytes.slice(1, 4), 'ELF');
    assert.doesNotMatch(bytes, /\b(lib\w+|ld-\w+)\.so\b|GLIBC_/, name);
  }
});

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import ssh2 from '#ssh2';
import { readAlgorithms } from '../../../src/config/values/algorithm-list.ts';
import { ALGORITHMS, type AlgorithmKey } from '../../../src/config/values/algorithms.ts';

assert.equal(typeof ssh2.Client, 'function'); // loaded with its replacements
const constants = createRequire(import.meta.url)('ssh2/lib/protocol/constants.js') as Record<string, readonly string[]>;

const NAMES: Readonly<Record<Exclude<AlgorithmKey, 'caSignatureAlgorithms'>, string>> = {
  ciphers: 'CIPHER',
  kexAlgorithms: 'KEX',
  macs: 'MAC',
  hostKeyAlgorithms: 'SERVER_HOST_KEY',
};

for (const [key, name] of Object.entries(NAMES) as [keyof typeof NAMES, string][]) {
  test(`${key}: knows what the library can do`, () => {
    const { defaults, others } = ALGORITHMS[key];
    assert.deepEqual([...defaults, ...others].toSorted(), constants[`SUPPORTED_${name}`]?.toSorted());
  });
}

test('applies the modifiers of ssh_config when a list begins with one', () => {
  const read = readAlgorithms('ciphers', true);
  const { defaults } = ALGORITHMS.ciphers;
  assert.deepEqual(read('aes256-ctr,aes128-ctr'), ['aes256-ctr', 'aes128-ctr']);
  assert.deepEqual(read(['aes256-ctr']), ['aes256-ctr']);
  assert.deepEqual(read('+3des-cbc'), [...defaults, '3des-cbc']);
  assert.deepEqual(
    read('-aes*-ctr'),
    defaults.filter((name) => !name.endsWith('-ctr')),
  );
  assert.deepEqual(read('^aes256-ctr'), ['aes256-ctr', ...defaults.filter((name) => name !== 'aes256-ctr')]);
  assert.throws(() => read('rot13'), /unknown cipher 'rot13'; known are /);
  assert.throws(() => read('-*'));
});

test('expands patterns where ssh does', () => {
  const read = readAlgorithms('caSignatureAlgorithms', true);
  assert.deepEqual(read('ecdsa-*,ssh-ed25519'), [
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'ssh-ed25519',
  ]);
  assert.deepEqual(readAlgorithms('hostKeyAlgorithms', true)('ssh-ed25519*'), [
    'ssh-ed25519-cert-v01@openssh.com',
    'ssh-ed25519',
  ]);
  assert.throws(() => read('dsa-*'), /unknown signature algorithm 'dsa-\*'/);
  assert.throws(() => readAlgorithms('ciphers', true)('aes*'), /unknown cipher/);
});

import assert from 'node:assert/strict';
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostQuery, knownHostsLine } from '../../src/connection/known-hosts/check-host-key.ts';
import { replaceHostKeys } from '../../src/setup/replace-host-keys.ts';
import { tempDir } from '../support/until.ts';

const query = hostQuery('h', 22, null);
const key = (text: string) =>
  Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from('ssh-ed25519'),
    Buffer.from([0, 0, 0, 32]),
    Buffer.from(text.repeat(32)),
  ]);
const [OLD, NEW] = [key('o'), key('n')];

test('replaces the old key, and leaves both where the second step of it fails: never none', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'known_hosts');
  const old = `${knownHostsLine(query, OLD)}\n`;
  const both = `${old}${knownHostsLine(query, NEW)}\n`;
  writeFileSync(file, old);
  // What is in the folder cannot be replaced, only written to.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(file, NOBODY, NOBODY);
  chmodSync(dir, 0o555);
  if (isRoot) process.seteuid!(NOBODY);
  try {
    await assert.rejects(replaceHostKeys(file, query, [NEW], [NEW]), /cannot change .*EACCES/);
  } finally {
    if (isRoot) process.seteuid!(0);
    chmodSync(dir, 0o755);
  }
  assert.equal(readFileSync(file, 'utf8'), both);
  await replaceHostKeys(file, query, [NEW], [NEW]);
  assert.equal(readFileSync(file, 'utf8'), `${knownHostsLine(query, NEW)}\n`);
});

const NOBODY = 65534;

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectError, fileIdentity, listenWithMask } from '../../src/lib/unix-socket.ts';
import { tempDir } from '../support/until.ts';

test('says why not when a Unix socket accepts no connections', async (t) => {
  const directory = await tempDir(t);
  const path = join(directory, 'socket');
  assert.equal(await connectError(path), 'ENOENT');
  const server = createServer((socket) => socket.destroy());
  await listenWithMask(server, { path }, 0o177);
  assert.equal(await connectError(path), null);
  // A server that is gone without having removed its socket.
  renameSync(path, join(directory, 'dead'));
  server.close();
  await once(server, 'close');
  assert.equal(await connectError(join(directory, 'dead')), 'ECONNREFUSED');
});

test('makes a socket with no wider permissions than the mask leaves, and leaves the mask as it was', async (t) => {
  const path = join(await tempDir(t), 'socket');
  const before = process.umask();
  const server = createServer();
  t.after(() => server.close());
  await listenWithMask(server, { path }, 0o117);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.equal(process.umask(), before);
  await assert.rejects(listenWithMask(createServer(), { path }, 0o117), { code: 'EADDRINUSE' });
  assert.equal(process.umask(), before);
});

test('tells a file from another one at the same path', async (t) => {
  const directory = await tempDir(t);
  const path = join(directory, 'file');
  assert.equal(fileIdentity(path), null);
  writeFileSync(path, 'one');
  const identity = fileIdentity(path);
  assert.notEqual(identity, null);
  assert.equal(fileIdentity(path), identity);
  writeFileSync(join(directory, 'other'), 'two');
  renameSync(join(directory, 'other'), path);
  assert.notEqual(fileIdentity(path), identity);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { listenAtPath } from '../../src/http/unix-listener.ts';
import { connectError } from '../../src/lib/unix-socket.ts';
import { tempDir } from '../support/until.ts';

const hangUp = (socket: { destroy(): void }) => socket.destroy();

test('listens for its owner alone in a directory that it makes, and removes the socket at the end', async (t) => {
  const path = join(await tempDir(t), 'deep/page.sock');
  const close = await listenAtPath(path, hangUp);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(await connectError(path), null);
  await close();
  assert.ok(!existsSync(path));
});

test('replaces a socket when nothing listens there any more', async (t) => {
  const path = join(await tempDir(t), 'page.sock');
  // A process that is killed leaves its socket behind.
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.equal(await connectError(path), 'ECONNREFUSED');
  const close = await listenAtPath(path, hangUp);
  assert.equal(await connectError(path), null);
  await close();
});

test("leaves alone what is there when it is another program's, and names the key to change", async (t) => {
  const dir = await tempDir(t);
  const taken = join(dir, 'taken.sock');
  const occupant = createServer(hangUp);
  await new Promise<void>((resolve) => occupant.listen(taken, resolve));
  t.after(() => occupant.close());
  await assert.rejects(listenAtPath(taken, hangUp), /^Error: another program listens there; .*metrics\.listen$/);
  assert.equal(await connectError(taken), null);
  const file = join(dir, 'file');
  writeFileSync(file, 'kept');
  await assert.rejects(listenAtPath(file, hangUp), /^Error: the path exists and is not a socket; .*metrics\.listen$/);
  assert.equal(statSync(file).size, 4);
  await assert.rejects(listenAtPath(join(dir, 'x'.repeat(108)), hangUp), /longer than 107 bytes: .*metrics\.listen$/);
});

test('removes nothing at the end when the path is another program\u2019s by then', async (t) => {
  const path = join(await tempDir(t), 'page.sock');
  const first = await listenAtPath(path, hangUp);
  spawnSync('rm', [path]);
  const second = await listenAtPath(path, hangUp);
  await first();
  assert.equal(await connectError(path), null);
  await second();
});

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { systemError } from '../../src/lib/system-error.ts';

test('is the error that Node.js makes of the same number', async (t) => {
  const server = createServer();
  t.after(() => server.close());
  const theirs = await new Promise<NodeJS.ErrnoException>((resolve) =>
    server.once('error', resolve).listen('/proc/tunneld.sock'),
  );
  const { errno, code, syscall } = systemError('listen', theirs.errno!);
  assert.deepEqual({ errno, code, syscall }, { errno: theirs.errno, code: theirs.code, syscall: theirs.syscall });
  assert.equal(systemError('read', -104).message, 'read ECONNRESET');
});

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { listen } from './listen.ts';
import { freePort, tempDir, until } from './until.ts';

test('until returns the first truthy answer', async () => {
  let asked = 0;
  assert.equal(await until(() => (++asked < 3 ? null : `after ${asked}`), { what: 'three' }), 'after 3');
});

test('until says what it waited for and what it saw last', async () => {
  await assert.rejects(
    until(() => false, { what: 'the cows', timeoutMs: 20 }),
    /20 ms in vain for the cows; last seen: false/,
  );
  await assert.rejects(
    until(() => assert.fail('still broken'), { what: 'repair', timeoutMs: 20 }),
    /repair; last seen: .*still broken/,
  );
});

test('a free port can be listened on', async () => {
  const port = await freePort();
  const server = createServer();
  assert.equal(await listen(server, '127.0.0.1', port), port);
  await new Promise((resolve) => server.close(resolve));
});

test('a temporary directory goes with its test', async (t) => {
  let path = '';
  await t.test('inner', async (inner) => {
    path = await tempDir(inner);
    assert.ok(existsSync(path));
  });
  assert.equal(existsSync(path), false);
});

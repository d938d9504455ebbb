import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { listen } from './listen.ts';
import { separately } from './separately.ts';
import { BATCH, freePort, until } from './until.ts';

test('returns the first answer when it is truthy', async () => {
  let asked = 0;
  assert.equal(await until(() => (++asked < 3 ? null : `after ${asked}`), { what: 'three' }), 'after 3');
});

test('says what it waited for and what it saw last when it gives up', async () => {
  await assert.rejects(
    until(() => false, { what: 'the cows', timeoutMs: 20 }),
    /20 ms in vain for the cows; last seen: false/,
  );
  await assert.rejects(
    until(() => assert.fail('still broken'), { what: 'repair', timeoutMs: 20 }),
    /repair; last seen: .*still broken/,
  );
});

test('finds a free port that can be listened on', async () => {
  const port = await freePort();
  const server = createServer();
  assert.equal(await listen(server, '127.0.0.1', port), port);
  await new Promise((resolve) => server.close(resolve));
});

test('passes a port over when a connection that has ended is still remembered at it', async () => {
  let port = await freePort();
  while (port % (2 * BATCH) >= BATCH) port = await freePort(); // those of the next batch are of the same block
  const ended = port + BATCH;
  const server = createServer((socket) => socket.end());
  await listen(server, '127.0.0.1', ended);
  const client = connect(ended, '127.0.0.1').resume();
  await once(client, 'close');
  await new Promise((resolve) => server.close(resolve));
  while (port < ended) port = await freePort();
  assert.notEqual(port, ended);
});

test('listens where no other program does, of which who waits for the server is told nothing', async (t) => {
  let taken = await freePort();
  while ((taken + 1) % BATCH === 0) taken = await freePort(); // what comes next may belong to another test
  const [other, server] = [createServer(), createServer((socket) => socket.end())];
  t.after(() => [other, server].forEach((one) => one.close()));
  await listen(other, '127.0.0.1', taken + 1);
  const visited = once(server, 'connection');
  const port = await listen(server);
  assert.notEqual(port, taken + 1);
  connect(port, '127.0.0.1').resume();
  await visited;
});

test('keeps a temporary directory until the process ends, whatever a test does in the end', () => {
  const { node, url } = separately('test/support/until.ts');
  const [runs, ...flags] = node;
  const program = `import { existsSync, writeFileSync } from 'node:fs';
    import { test } from 'node:test';
    import { tempDir } from ${JSON.stringify(url)};
    test('writes late', async (t) => {
      const path = await tempDir(t);
      t.after(() => writeFileSync(path + '/late', path));
      t.after(() => process.stderr.write(existsSync(path + '/late') ? path : 'gone'));
    });`;
  const { status, stderr } = spawnSync(runs!, [...flags, '--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.match(stderr, /tunneld-test-/);
  assert.equal(existsSync(stderr), false);
});

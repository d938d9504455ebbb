import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../src/control/client.ts';
import { formatLogLine } from '../../src/lib/log/format.ts';
import { tempDir } from '../support/until.ts';

async function daemon(t: TestContext, serve: (socket: Socket) => void): Promise<string> {
  const path = join(await tempDir(t), 'control.sock');
  const server = createServer(serve).listen(path);
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  return path;
}

test('moves no cursor when it prints what a daemon says', async (t) => {
  const path = await daemon(t, (socket) => {
    socket.on('data', () => socket.end('{"ok":false,"code":"internal","message":"one\\n\\u001b]0;two\\u0007"}\n'));
  });
  const answer = await ask([path], { command: 'reload' });
  assert.equal(answer.ok ? '' : answer.message, 'one\n\\x1b]0;two\\x07');
  assert.equal(formatLogLine('{"level":30,"time":0,"msg":"m","\\u001b[2J":1}', false).includes('\u001b'), false);
});

test('says what it means when a daemon with too many clients says nothing', async (t) => {
  const path = await daemon(t, (socket) => socket.destroy());
  await assert.rejects(
    ask([path], { command: 'status' }),
    /closed the connection without an answer: it has too many clients/,
  );
});

test('bounds the memory when a line of the daemon has no end', async (t) => {
  const path = await daemon(t, (socket) => {
    socket.on('error', () => {});
    const more = () => {
      while (!socket.destroyed && socket.write('x'.repeat(65_536)));
      if (!socket.destroyed) socket.once('drain', more);
    };
    more();
  });
  await assert.rejects(ask([path], { command: 'status' }), /sends a line without an end/);
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { bytesWrittenTo, senderPast } from '../../../src/net/streams/send-past.ts';
import { listen } from '../../support/listen.ts';
import { pattern } from '../../support/echo.ts';
import { until } from '../../support/until.ts';

test('sends nothing ahead of what waits in the stream, counts what it sends, and leaves a socket that is gone alone', async (t) => {
  const server = createServer();
  t.after(() => server.close());
  const accepted = once(server, 'connection');
  const socket = connect(await listen(server, '127.0.0.1'), '127.0.0.1');
  await once(socket, 'connect');
  const [peer] = (await accepted) as [Socket];
  t.after(() => [socket, peer].forEach((one) => one.destroy()));
  const send = senderPast(socket)!;
  const all = pattern(1, 30_000_000);
  let sent = send(all, all.length);
  assert.ok(sent > 0 && sent < all.length, `${sent} bytes`);
  assert.equal(bytesWrittenTo(socket), sent);
  socket.write(all.subarray(sent, sent + 1_000_000));
  sent += 1_000_000;
  assert.equal(send(all.subarray(sent), all.length - sent), 0);
  const got: Buffer[] = [];
  let bytes = 0;
  peer.on('data', (chunk: Buffer) => {
    got.push(chunk);
    bytes += chunk.length;
  });
  await until(() => bytes === sent && socket.writableLength === 0, { what: 'all of it' });
  assert.equal(bytesWrittenTo(socket), sent);
  sent += send(all.subarray(sent), 10);
  await until(() => bytes === sent, { what: 'the last' });
  assert.ok(Buffer.concat(got).equals(all.subarray(0, sent)));
  socket.destroy();
  assert.equal(send(all, all.length), 0);
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { connectNative } from '../../../src/net/streams/native-socket.ts';

/** As a telnet server does: a read stops short at what is urgent (tcp(7)), and the rest is there already. */
const URGENT = `
import socket
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(1)
print(s.getsockname()[1], flush=True)
c, _ = s.accept()
c.send(b'before'); c.send(b'!', socket.MSG_OOB); c.send(b'behind')
c.recv(1)
`;

test('reads on behind urgent data, without anything else to come', async (t) => {
  const server = spawn('/usr/bin/python3', ['-c', URGENT], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => server.kill());
  const [port] = (await once(createInterface(server.stdout), 'line')) as [string];
  const socket = (await connectNative('127.0.0.1', Number(port), systemClock))!;
  let got = '';
  socket.on('data', (chunk: Buffer) => (got += String(chunk)));
  const all = new Promise<void>((resolve) => socket.on('data', () => got.endsWith('behind') && resolve()));
  await all;
  assert.equal(got, 'beforebehind');
  socket.end(); // one end is enough for the server to leave
  await once(server, 'exit');
  socket.destroy();
});

/** A listener that accepts nobody, so that its backlog is full after one or two. */
const CROWDED = `
import socket, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(0)
print(s.getsockname()[1], flush=True)
sys.stdin.read()
`;

test('is null where nobody accepts, after a moment, and leaves nothing open', async (t) => {
  const server = spawn('/usr/bin/python3', ['-c', CROWDED], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => server.kill());
  const [port] = (await once(createInterface(server.stdout), 'line')) as [string];
  const before = readdirSync('/proc/self/fd').length;
  const sockets = await Promise.all(
    Array.from({ length: 5 }, () => connectNative('127.0.0.1', Number(port), systemClock)),
  );
  const open = sockets.filter((socket) => socket !== null);
  assert.ok(open.length >= 1 && open.length < 5, `${open.length} of 5`);
  for (const socket of open) socket.destroy();
  assert.ok(readdirSync('/proc/self/fd').length <= before + 1); // that of the poll
});

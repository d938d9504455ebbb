import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';

/** A tunnel that has nowhere to go: these tests are about the socket. */
async function yaml(): Promise<string> {
  return `tunnels:\n  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }`;
}

async function startIdle(t: TestContext) {
  const daemon = await startDaemonProcess(t, await yaml());
  await daemon.untilStatus(() => true, 'an answer');
  return daemon;
}

test('is for its owner alone, with its folder', async (t) => {
  const daemon = await startIdle(t);
  assert.equal(statSync(daemon.socket).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(daemon.socket)).mode & 0o777, 0o700);
});

test('is left to a daemon when that lives and holds it', async (t) => {
  const daemon = await startIdle(t);
  const second = await tunneld(['run', '--config', daemon.configFile]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /another tunneld is running/);
  assert.equal((await daemon.status()).pid, daemon.pid);
});

test('is replaced when a dead daemon left it behind', async (t) => {
  const first = await startIdle(t);
  first.signal('SIGKILL');
  await first.exited;
  assert.ok(existsSync(first.socket));
  const socket = first.socket;
  const second = await startDaemonProcess(t, `${await yaml()}\n`, { socket });
  await second.untilStatus(({ pid }) => pid === second.pid, 'the new daemon');
});

test('serves well-behaved clients when others misbehave', async (t) => {
  const daemon = await startIdle(t);
  const answers = await Promise.all([
    converse(daemon.socket, 'garbage\n'),
    converse(daemon.socket, `${'x'.repeat(100_000)}\n`),
    converse(daemon.socket, '{"command":"status","extra":1}\n'),
    converse(daemon.socket, '{"command":"logs","name":null,"lines":-1,"follow":false}\n'),
    converse(daemon.socket, '\u0000\n'),
  ]);
  for (const answer of answers) assert.match(answer, /^(\{"ok":false,"code":"bad-request".*\}\n)?$/);
  const silent = Array.from({ length: 100 }, () => connect(daemon.socket).on('error', () => {}));
  t.after(() => silent.forEach((socket) => socket.destroy()));
  await until(() => silent.some((socket) => socket.destroyed), { what: 'the surplus of clients to be turned away' });
  for (const socket of silent) socket.destroy();
  await daemon.untilStatus(({ pid }) => pid === daemon.pid, 'an answer afterwards');
});

test('goes on with logs -f until the reader leaves', async (t) => {
  const daemon = await startIdle(t);
  const socket = connect(daemon.socket);
  t.after(() => socket.destroy());
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  socket.write('{"command":"logs","name":null,"lines":10,"follow":true}\n');
  await until(() => text.includes('tunneld started'), { what: 'the lines so far' });
  daemon.signal('SIGHUP');
  await until(() => text.includes('configuration reloaded'), { what: 'the new line' });
});

function converse(path: string, message: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(path, () => socket.write(message));
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
  });
}

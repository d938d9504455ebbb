import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../src/control/client.ts';
import { indexToDrop } from '../../src/control/clients.ts';
import type { ControlHandlers } from '../../src/control/server.ts';
import { openControlSocket } from '../../src/control/socket.ts';
import { fakeClock } from '../support/clock.ts';
import { connects, tempDir, until } from '../support/until.ts';

const HANDLERS: ControlHandlers = {
  handle: (request) => (request.command === 'reload' ? new Promise(() => {}) : Promise.resolve([])),
  streamLogs: () => ({ stop: () => {} }),
};

/** As in a service, whose group may use the socket; `shared` false: as anywhere else. */
async function open(t: TestContext, shared: boolean, prepare: (path: string) => void = () => {}) {
  const dir = await tempDir(t);
  const path = join(dir, 'control.sock');
  const clock = fakeClock();
  const problems: (string | null)[] = [];
  prepare(path);
  process.env['RUNTIME_DIRECTORY'] = shared ? dir : '';
  t.after(() => delete process.env['RUNTIME_DIRECTORY']);
  const control = await openControlSocket(path, HANDLERS, {
    clock,
    config: '/c',
    onProblem: (text) => problems.push(text),
  });
  t.after(() => control.close());
  return { path, clock, problems, control };
}

/** Comes `count` times and says `text`. */
async function crowd(t: TestContext, path: string, count: number, text: string): Promise<readonly Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(path).on('error', () => {}));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  for (const socket of sockets) socket.on('connect', () => text !== '' && socket.write(text)).resume();
  await until(() => sockets.every((socket) => !socket.connecting), { what: 'all connections' });
  return sockets;
}

test('answers clients when a crowd asks nothing or reads the log for ever', async (t) => {
  const { path } = await open(t, false);
  for (const text of ['', '{"command":', '{"command":"logs","name":null,"lines":0,"follow":true}\n']) {
    const sockets = await crowd(t, path, 100, text);
    for (let asked = 0; asked < 5; asked++) assert.ok((await ask([path], { command: 'retry', name: null })).ok);
    await until(() => sockets.filter((socket) => socket.closed).length >= 68, { what: 'the surplus put out' });
    for (const socket of sockets) socket.destroy();
  }
});

test('keeps places for root and the owner when a group may use the socket', async (t) => {
  const { path } = await open(t, true);
  const own = path.replace('control.sock', 'owner-control.sock');
  assert.deepEqual([statSync(path).mode & 0o777, statSync(own).mode & 0o777], [0o660, 0o600]);
  // Requests that are never answered: the worst that a member can do.
  await crowd(t, path, 40, '{"command":"reload"}\n');
  assert.ok((await ask([path], { command: 'retry', name: null })).ok);
});

test('chooses whom it puts out when a newcomer finds no place', () => {
  assert.equal(indexToDrop(['answered', 'idle', 'following', 'idle', 'idle']), 1);
  assert.equal(indexToDrop(['answered', 'following', 'answered', 'following', 'idle']), 1);
  assert.equal(indexToDrop(['answered', 'answered', 'idle']), 2, 'the newcomer, because all others are being answered');
});

test('tries a socket again every minute when it cannot be had, says so once, and leaves it alone once it is there', async (t) => {
  const { path, clock, problems, control } = await open(t, true, (there) => writeFileSync(there, ''));
  assert.match(
    problems.join(),
    /^control socket .*control\.sock: the path exists and is not a socket; no command reaches this daemon/,
  );
  await clock.advance(59_000);
  rmSync(path);
  assert.ok(!existsSync(path));
  await clock.advance(1000);
  await until(async () => problems.at(-1) === null && (await connects(path)), { what: 'the socket' });
  assert.equal(clock.pending(), 0);
  await control.ensure();
  assert.ok((await ask([path], { command: 'retry', name: null })).ok);
  rmSync(path);
  mkdirSync(path);
  await control.ensure();
  assert.match(problems.at(-1) ?? '', /not a socket/);
  assert.equal(clock.pending(), 1);
  await control.close();
  assert.equal(clock.pending(), 0);
});

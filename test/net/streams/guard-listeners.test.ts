import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { createLogger } from '../../../src/lib/log/log.ts';
import { createVisitLog } from '../../../src/forwarding/visitors/visit-log.ts';
import { createVisitors } from '../../../src/forwarding/visitors/visitors.ts';
import { guardListeners } from '../../../src/net/streams/guard-listeners.ts';
import type { Channel, SshConnection, Visitor } from '../../../src/connection/ssh/connection.ts';
import { initialState } from '../../../src/model/state.ts';
import { listen } from '../../support/listen.ts';
import { startSshd } from '../../support/sshd.ts';
import { quietDevice, specFor } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { connectTo } from '../../support/connection.ts';
import { visit } from '../../support/visit.ts';

test('ends a channel, not the connection of all, when one of its listeners throws', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const errors: Error[] = [];
  const throws = (channel: Channel) => {
    channel.on('error', (error) => errors.push(error));
    channel.on('data', () => assert.fail('a bug'));
  };
  let receive = (visitor: Visitor) => throws(visitor.accept());
  const connection = await connectTo(t, sshd, (visitor) => receive(visitor));
  const port = await freePort();
  await connection.listen({ type: 'tcp', host: '127.0.0.1', port });
  assert.equal(await visit(port, 'hello'), '');
  const echo = createServer((socket) => socket.pipe(socket));
  const target = await listen(echo);
  t.after(() => echo.close());
  const channel = await connection.open(
    { type: 'tcp', host: '127.0.0.1', port: target },
    { address: '127.0.0.1', port: 0 },
  );
  throws(channel);
  channel.write('hello');
  await until(() => errors.length === 2, { what: 'both errors' });
  for (const { cause } of errors) assert.equal((cause as Error).message, 'a bug');

  receive = (visitor) => visitor.accept().end('all is well');
  assert.equal(await visit(port, ''), 'all is well');
  await connection.ping();
});

test('ends a socket, not the process, when one of its listeners throws', async (t) => {
  const server = createServer((socket) => socket.end('hello'));
  const port = await listen(server);
  t.after(() => server.close());
  const socket = guardListeners(connect(port, '127.0.0.1'));
  const failed = new Promise<Error>((resolve) => socket.on('error', resolve));
  socket.on('data', () => assert.fail('a bug'));
  assert.equal(((await failed).cause as Error).message, 'a bug');
  await until(() => socket.closed, { what: 'its end' });
  // With nobody who listens for errors too.
  const unheard = guardListeners(connect(port, '127.0.0.1'));
  unheard.on('data', () => assert.fail('a bug'));
  await until(() => unheard.closed, { what: 'its end' });
});

test('destroys and logs a visit that does not end with its session', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const port = await freePort();
  const listenOn = { type: 'tcp', host: '127.0.0.1', port } as const;
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const spec = specFor(sshd, [[0, 1]], { forwards: [{ kind: 'local', listen: listenOn, target: listenOn }] });
  const state = initialState(spec, 0);
  const stuck: Pick<SshConnection, 'open'> = { open: () => new Promise(() => {}) };
  const log = createLogger('error', (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
  const visitors = createVisitors(
    spec,
    stuck as SshConnection,
    {
      clock: systemClock,
      log,
      visitLog: createVisitLog(log, systemClock),
      device: quietDevice,
      state: () => state,
      reportForward: () => {},
      onTargetFailed: () => {},
    },
    new AbortController().signal,
  );
  const server = createServer((socket) => visitors.acceptLocal(0, socket));
  await listen(server, '127.0.0.1', port);
  t.after(() => server.close());
  const visitor = connect(port, '127.0.0.1').resume();
  await new Promise((resolve) => visitor.once('connect', resolve));
  await until(async () => await Promise.race([visitors.ended().then(() => false), Promise.resolve(true)]), {
    what: 'the visit',
  });
  visitors.force();
  await until(() => visitor.closed, { what: 'its end' });
  await visitors.ended();
  assert.match(String(lines[0]?.['msg']), /^a bug: connections outlived their session/);
  assert.equal(lines[0]?.['connections'], 1);
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { readTable, sendQueues, tcpQueues, unacknowledged } from '../../src/host/tcp-queue.ts';
import { loadAddon } from '../../src/lib/addon.ts';
import { descriptorOf } from '../../src/net/streams/send-past.ts';
import { listen } from '../support/listen.ts';
import { until } from '../support/until.ts';

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:EE49 0100007F:0016 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 0201A8C0:EE49 0909A8C0:0016 01 00012345:00000000 01:00000014 00000000     0        0 2 2 0
   2: 0201A8C0:EE4A 0909A8C0:0016 01 00000007:00000000 01:00000014 00000000     0        0 3 2 0
   3: 0201A8C0:EE4A 0A09A8C0:0016 01 00000008:00000000 01:00000014 00000000     0        0 4 2 0
`;

/** EE49 in the table. */
const PORT = 61_001;

test('finds the queue of a connection by its ports, and none when it cannot be told from another', () => {
  const find = (localPort: number) => sendQueues(TABLE).get(`${localPort} 22`) ?? null;
  assert.equal(find(0xee49), 0x12345);
  assert.equal(find(0xee4a), null);
  assert.equal(find(1), null);
  assert.equal(sendQueues('').size, 0);
});

// Of any length: a machine has the connections of other programs, too.
const byTable = tcpQueues({ now: () => performance.now(), read: (file) => readTable(file, 1024 ** 3) });

for (const [way, queueOf] of [
  ['by its descriptor', unacknowledged],
  ["by the kernel's table", byTable],
] as const)
  test(`has what its peer does not take, and not what it took, when the connection is real, ${way}`, async (t) => {
    // More than the kernel tells at a time.
    for (let i = 0; i < 60; i++) {
      const other = createServer();
      t.after(() => other.close());
      await listen(other, '127.0.0.1');
    }
    const peers: Socket[] = [];
    const server = createServer((socket) => peers.push(socket.pause()));
    t.after(() => server.close());
    const socket = connect(await listen(server, '127.0.0.1'), '127.0.0.1');
    t.after(() => socket.destroy());
    await until(() => peers.length === 1, { what: 'the connection' });
    const ends = {
      descriptor: () => descriptorOf(socket),
      localPort: socket.localPort ?? 0,
      remoteAddress: socket.remoteAddress ?? '',
      remotePort: socket.remotePort ?? 0,
    };
    if (process.platform !== 'linux') {
      assert.equal(queueOf(ends), null);
      return;
    }
    assert.equal(queueOf(ends), 0);
    socket.write(Buffer.alloc(32 * 1024 * 1024));
    await until(() => (queueOf(ends) ?? 0) > 100_000, { what: 'a queue' });
    peers[0]?.resume();
    await until(() => queueOf(ends) === 0, { what: 'an empty queue' });
  });

test('knows of no connection when the descriptor is closed, or that of a Unix socket, and its ports are in no table', async (t) => {
  const { addon } = loadAddon();
  const nowhere = { localPort: 1, remoteAddress: '192.0.2.1', remotePort: 1 };
  assert.equal(unacknowledged({ ...nowhere, descriptor: () => null }), null);
  const path = join(mkdtempSync(join(tmpdir(), 'tunneld-queue-')), 's');
  const server = createServer((socket) => void socket.pause());
  t.after(() => {
    server.close();
    rmSync(dirname(path), { recursive: true });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const socket = connect(path);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  socket.write('never read');
  assert.equal(unacknowledged({ ...nowhere, descriptor: () => descriptorOf(socket) }), null);
  if (addon === null) return;
  assert.equal(addon.unacknowledged(999_999), -1);
  assert.equal(addon.acknowledge(999_999), false);
  const wrong = { code: 'WRONG_ARGUMENT' };
  for (const fd of [-1, 2 ** 31, 1.5, 'x' as unknown as number]) {
    assert.throws(() => addon.unacknowledged(fd), wrong);
    assert.throws(() => addon.acknowledge(fd), wrong);
  }
});

test('acknowledges at once what the kernel would acknowledge later', async (t) => {
  const { addon } = loadAddon();
  if (addon === null) return;
  const server = createServer();
  t.after(() => server.close());
  const socket = connect({ port: await listen(server, '127.0.0.1'), host: '127.0.0.1', noDelay: true });
  t.after(() => socket.destroy());
  const [peer] = (await once(server, 'connection')) as [Socket];
  peer.setNoDelay(true);
  let later = 0;
  for (let i = 0; i < 200; i++) {
    // Of a conversation the kernel waits for the answer, which brings the acknowledgement.
    socket.write('?');
    await once(peer, 'data');
    peer.write('!');
    await once(socket, 'data');
    if (addon.unacknowledged(descriptorOf(peer)!) > 0) later += 1;
    assert.equal(addon.acknowledge(descriptorOf(socket)!), true);
    assert.equal(addon.unacknowledged(descriptorOf(peer)!), 0);
  }
  assert.ok(later > 0);
});

test('knows what a connection still has to deliver when it has said its end', () => {
  const inState = (state: string) => sendQueues(TABLE.replace(':0016 01 00012345', `:0016 ${state} 00012345`));
  // FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING; then TIME_WAIT, whose numbers mean nothing.
  for (const state of ['04', '05', '08', '09', '0B']) assert.equal(inState(state).get(`${PORT} 22`), 0x12345, state);
  assert.equal(inState('06').get(`${PORT} 22`), undefined);
});

test('reads the table once in a while when a thousand connections have ended, more seldom the longer that takes', () => {
  let now = 0;
  let reads = 0;
  let tookMs = 1;
  const queueOf = tcpQueues({
    now: () => now,
    read: () => {
      reads += 1;
      now += tookMs;
      return TABLE;
    },
  });
  const ask = (localPort: number) => queueOf({ localPort, remoteAddress: '192.0.2.1', remotePort: 22 });
  for (let port = 1; port <= 1000; port += 1) assert.equal(ask(port), null);
  assert.deepEqual([ask(PORT), reads], [0x12345, 1]);
  now += 100;
  tookMs = 40;
  ask(1);
  now += 700;
  ask(1);
  assert.equal(reads, 2);
  now += 60;
  ask(1);
  assert.equal(reads, 3);
});

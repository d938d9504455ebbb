import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Duplex } from 'node:stream';
import type { Connection, ServerChannel } from 'ssh2';
import ssh2 from '#ssh2';
import { internalsOf, type OpenChannel } from '../../../../src/connection/ssh2/protocol/internals.ts';
import { createReceiveAccount } from '../../../../src/connection/ssh2/protocol/receive-account.ts';
import { shareWindows } from '../../../../src/connection/ssh2/protocol/receive-windows.ts';
import { startSshd } from '../../../support/sshd.ts';
import { freePort, tempDir, until } from '../../../support/until.ts';
import { sendPayload, uint32 } from '../../../support/fake-server.ts';
import { startGranting } from '../../../support/granting-server.ts';

const sshd = await startSshd();
after(() => sshd.stop());

const MIB = 1024 * 1024;

test('gives a few visitors a full window each, and lets each through when a thousand share the memory', async (t) => {
  const { tunnel, connection } = await startGranting(t, sshd, { verify: 'off' });
  const listen = tunnel.spec.forwards[0]?.listen;
  const port = listen?.type === 'tcp' ? listen.port : 0;
  const channels: ServerChannel[] = [];
  for (let count = 0; count < 1000; count++) channels.push(await visitor(connection(), port));
  const windows = channels.map(windowOf);
  assert.deepEqual(windows.slice(0, 4), [2 * MIB, 2 * MIB, 2 * MIB, 256 * 1024]);
  assert.ok(Math.min(...windows) >= 16 * 1024);
  assert.ok(windows.reduce((sum, window) => sum + window, 0) <= 48 * MIB);

  // The last of them sends more than its window at once; what moves gets more.
  const last = channels.at(-1)!;
  const words = 'x'.repeat(3 * MIB);
  let heard = 0;
  last.on('data', (chunk: Buffer) => (heard += chunk.length));
  last.write(words);
  await until(() => heard === words.length, { what: () => `all of it, not ${heard} bytes` });
  assert.ok(windowOf(last) > 256 * 1024, `${windowOf(last)} bytes`);

  // Who goes leaves room.
  const gone = channels.map((channel) => once(channel, 'close'));
  for (const channel of channels) channel.resume().end();
  await Promise.all(gone);
  assert.equal(windowOf(await visitor(connection(), port)), 2 * MIB);
});

test('grants no more than it may be now, and all again when that is more', () => {
  let most = Number.POSITIVE_INFINITY;
  const { use } = granting(() => most);
  assert.deepEqual(use(0, 300_000), [[300_000], 2 * MIB]);
  most = 768 * 1024;
  assert.deepEqual(use(0, 300_000), [[], 2 * MIB - 300_000]);
  assert.deepEqual(use(0, 1_600_000), [[1_600_000 + 300_000 - 2 * MIB + most], most]);
  assert.deepEqual(use(0, 100_000), [[], most - 100_000]);
  assert.deepEqual(use(0, 200_000), [[300_000], most]);
  most = Number.POSITIVE_INFINITY;
  assert.deepEqual(use(0, 300_000), [[2 * MIB - 768 * 1024 + 300_000], 2 * MIB]);
});

test('leaves the room of a connection to channels that use it, however many others say a word', () => {
  const asked: number[] = [];
  const { use } = granting((ours) => {
    asked.push(ours);
    return Number.POSITIVE_INFINITY;
  });
  for (let ours = 0; ours < 60; ours++) for (let word = 0; word < 3; word++) assert.deepEqual(use(ours, 48)[0], []);
  assert.deepEqual(asked, []);
  const windows = [8, 32, 128, 256].map((kib) => use(60, kib * 1024)[1]);
  assert.deepEqual(windows.slice(0, 3), [64 * 1024, 256 * 1024, MIB]);
  assert.ok(windows[3]! > 1.9 * MIB, `${windows[3]}`);
});

for (const [channels, least] of [
  [4, 2 * MIB],
  [12, 128 * 1024],
  [30, 32 * 1024],
  [1000, 16 * 1024],
] as const)
  test(`leaves one of ${channels} channels ${least} bytes, though all others have had much and are idle since`, () => {
    const { use } = granting(() => Number.POSITIVE_INFINITY);
    for (let ours = 0; ours < channels; ours++)
      for (let i = 0; i < 40; i++) use(ours, Math.min(use(ours, 0)[1], 256 * 1024));
    assert.ok(use(channels - 1, 0)[1] >= least);
  });

test('gives back the room of a channel that the server refuses', () => {
  const { use, refuse } = granting(() => Number.POSITIVE_INFINITY);
  for (let i = 0; i < 100; i++) refuse();
  assert.equal(use(100, 0)[1], 2 * MIB);
});

test('never lets the server fill more than there is room for, also where a share gets smaller', () => {
  const { use } = granting(() => Number.POSITIVE_INFINITY);
  const windows: number[] = [];
  // Each of the first ones has a full window, and its share is less when it has used a little of it. Then more of them come.
  for (const [from, to, times] of [
    [0, 8, 1],
    [0, 8, 1],
    [8, 40, 20],
  ] as const)
    for (let ours = from; ours < to; ours++)
      for (let time = 0; time < times; time++) {
        const window = windows[ours] ?? use(ours, 0)[1];
        windows[ours] = use(ours, Math.min(window, 256 * 1024))[1];
        const sum = windows.reduce((all, one) => all + one, 0);
        assert.ok(sum <= 16 * MIB + windows.length * 16 * 1024, `${sum} by ${ours}`);
      }
});

/** A client that grants windows to channels by their numbers: 0 and up. */
function granting(most: (ours: number) => number) {
  const client = new ssh2.Client();
  client.on('error', () => {});
  const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  client.connect({ sock: stream, username: 'limited', password: 'secret', readyTimeout: 0 });
  const { _protocol: protocol, _chanMgr: table } = internalsOf(client);
  const granted: number[] = [];
  protocol.channelOpenConfirm = protocol.directTcpip = () => {};
  protocol.channelWindowAdjust = (_theirs, bytes) => granted.push(bytes);
  shareWindows(client, assert.fail, most, createReceiveAccount({ windows: 32 * MIB, unread: 44 * MIB }));
  const channels: OpenChannel[] = [];
  const open = (ours: number) => {
    assert.equal(table.add(true), ours);
    const channel = {
      incoming: { id: ours, window: 0 },
      _readableState: { highWaterMark: 0 },
    } as unknown as OpenChannel;
    table.update(ours, channel);
    protocol.channelOpenConfirm(100 + ours, ours, 2 * MIB, 32_768);
    return (channels[ours] = channel);
  };
  /** The server uses up so much, and all that is not there is asked for, as ssh2 does: what it is granted, and the window then. */
  const use = (ours: number, bytes: number): readonly [granted: number[], window: number] => {
    const { incoming } = channels[ours] ?? open(ours);
    const left = incoming.window - bytes;
    incoming.window = 2 * MIB;
    protocol.channelWindowAdjust(100 + ours, 2 * MIB - left);
    return [granted.splice(0), incoming.window];
  };
  const refuse = () => {
    const ours = table.add(Object.assign(() => {}, { type: 'direct-tcpip' }));
    protocol.directTcpip(ours, 2 * MIB);
    protocol._handlers.CHANNEL_OPEN_FAILURE(protocol, ours, ...([1, 'no', ''] as never[]));
  };
  return { use, refuse };
}

test('leaves a server and says why when it fills more than there is room for', async (t) => {
  const path = join(await tempDir(t), 'stalled');
  const target = createServer({ pauseOnConnect: true }).listen(path);
  t.after(() => target.close());
  const port = await freePort();
  const forwards = [
    { kind: 'remote', listen: { type: 'tcp', host: 'localhost', port }, target: { type: 'unix', path } },
  ] as const;
  const { tunnel, connection } = await startGranting(t, sshd, { verify: 'off', forwards });
  const first = connection();
  const channels: ServerChannel[] = [];
  for (let count = 0; count < 1000; count++) channels.push(await visitor(first, port));
  const packet = Buffer.alloc(16 * 1024);
  const fill = () => {
    for (const channel of channels) {
      const { outgoing } = channel as unknown as ServerEnd;
      // A little beyond its window, which a server may be, and then nothing more.
      if (outgoing.window < -packet.length) continue;
      outgoing.window -= packet.length;
      sendPayload(first, 94, uint32(outgoing.id), uint32(packet.length), packet);
    }
  };
  const failure = () => tunnel.state().failure?.message;
  await until(() => failure() ?? fill(), { what: 'the end of the connection', timeoutMs: 180_000 });
  assert.match(failure() ?? '', /^\d+ MiB from the server wait to be read, which is more than there is room/);
  await until(() => connection() !== first, { what: 'the next connection' });
  await tunnel.untilPhase('up');
});

function visitor(connection: Connection, port: number): Promise<ServerChannel> {
  return new Promise((resolve, reject) => {
    connection.forwardOut('localhost', port, '192.0.2.1', 1, (error, channel) => {
      if (error) reject(error);
      else resolve(channel.on('error', () => {}));
    });
  });
}

/** What we take at this moment, as the server sees it. */
function windowOf(channel: ServerChannel): number {
  return (channel as unknown as ServerEnd).outgoing.window;
}

interface ServerEnd {
  readonly outgoing: { readonly id: number; window: number };
}

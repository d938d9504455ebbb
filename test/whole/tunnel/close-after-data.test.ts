import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, describe, test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import type { ForwardSpec } from '../../../src/model/spec.ts';
import { pattern } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { startFakeSsh } from '../../support/fake-server.ts';
import { scaledClock } from '../../support/scaled-clock.ts';
import { startClosingServer } from './closing-server.ts';

const SIZES = [0, 1, 40_000, 1_000_000, 6_000_000];
const BYTES = pattern(0, Math.max(...SIZES));

const sshd = await startSshd();
after(() => sshd.stop());

describe('a server that closes the channel right behind the last byte', { concurrency: 4 }, () => {
  for (const eof of [false, true]) {
    const how = eof ? 'with an end of stream' : 'without an end of stream';
    test(`gives a visitor of this device all of it and a clean end: ${how}`, async (t) => {
      for (const place of ['tcp', 'unix'] as const) {
        const { server, open, send } = await localForward(t, place, eof);
        for (const size of SIZES) {
          send(size);
          const before = server.closed();
          const fast = await Promise.all(Array.from({ length: 4 }, () => buffer(open())));
          for (const received of fast)
            assert.ok(received.equals(BYTES.subarray(0, size)), `${received.length} of ${size}`);
          const received = await slowly(open());
          assert.ok(received.equals(BYTES.subarray(0, size)), `slowly: ${received.length} of ${size}`);
          // One that begins when the server has long closed.
          const late = open().pause();
          if (size < 2_000_000) await until(() => server.closed() === before + 6, { what: 'the close' });
          assert.ok((await buffer(late)).equals(BYTES.subarray(0, size)), `late, of ${size}`);
        }
      }
    });

    test(`gives a target of this device all of it and a clean end: ${how}`, async (t) => {
      const size = 1_000_000;
      const received: Promise<Buffer>[] = [];
      const target = createServer((socket) =>
        received.push(received.length % 2 === 0 ? buffer(socket) : slowly(socket)),
      );
      const port = await listen(target);
      t.after(() => target.close());
      const server = await startClosingServer(t, sshd, () => ({ bytes: BYTES.subarray(0, size), eof }));
      const tunnel = startTunnel(t, specFor({ ...sshd, port: server.port }, [[7, port]], { verify: 'off' }));
      await tunnel.untilPhase('up');
      for (let visits = 0; visits < 6; visits += 1) server.visit();
      await until(() => received.length === 6, { what: 'the visits' });
      for (const bytes of await Promise.all(received))
        assert.ok(bytes.equals(BYTES.subarray(0, size)), `${bytes.length}`);
      await idle(tunnel);
    });
  }

  test('resets who goes on sending, but only after everything was delivered', async (t) => {
    const size = 6_000_000;
    // The moment that it has for its reading is three times as long here: a busy machine reads slowly.
    const { open, send, tunnel } = await localForward(t, 'tcp', false, scaledClock(1 / 3));
    send(size);
    const visitor = open(true);
    const reset = new Promise<NodeJS.ErrnoException>((resolve) => visitor.once('error', resolve));
    const sending = setInterval(() => visitor.write('more'), 10);
    t.after(() => clearInterval(sending));
    const received = await slowly(visitor);
    assert.ok(received.equals(BYTES.subarray(0, size)), `${received.length} of ${size}`);
    assert.match((await reset).code ?? '', /^(?:EPIPE|ECONNRESET)$/);
    await idle(tunnel);
    await until(() => tunnel.lines.some(({ msg }) => msg === 'connection ended: reset by the target'), {
      what: () => `the end in the log: ${JSON.stringify(tunnel.lines.at(-1))}`,
    });
  });
});

test('delivers what came whole also when the connection dies before it is read', async (t) => {
  const size = 1_000_000;
  const { server, open, send, tunnel } = await localForward(t, 'tcp', true);
  send(size);
  const visitors = Array.from({ length: 3 }, () => open().pause());
  await until(() => server.closed() === 3, { what: 'the closes' });
  server.hangUp();
  await until(() => tunnel.state().phase !== 'up', { what: 'the loss' });
  for (const visitor of visitors) assert.ok((await buffer(visitor)).equals(BYTES.subarray(0, size)));
});

test('resets the visitor when only the death of the connection made an end', async (t) => {
  const port = await freePort();
  const forward: ForwardSpec = { kind: 'local', listen: tcp(port), target: tcp(1) };
  const server = await startFakeSsh(t, sshd, (connection, socket) => {
    connection.on('authentication', (attempt) => attempt.accept());
    connection.on('ready', () =>
      connection.on('tcpip', (accept) => {
        const channel = accept();
        channel.on('error', () => {}).write('half of it');
        channel.once('data', () => socket.resetAndDestroy());
      }),
    );
  });
  const tunnel = startTunnel(t, { ...specFor({ ...sshd, port: server.port }, [[0, 1]]), forwards: [forward] });
  await tunnel.untilPhase('up');
  const visitor = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(visitor, 'data');
  const ended = Promise.race([once(visitor, 'end'), once(visitor, 'close')]);
  visitor.write('die');
  await assert.rejects(ended, { code: 'ECONNRESET' });
});

/** A listener of this device whose visitors get what the server is told to send. */
async function localForward(t: TestContext, place: 'tcp' | 'unix', eof: boolean, clock = systemClock) {
  const port = await freePort();
  const path = join(await tempDir(t), 'visit.sock');
  const forward: ForwardSpec = {
    kind: 'local',
    listen: place === 'tcp' ? tcp(port) : { type: 'unix', path },
    target: tcp(1),
  };
  let size = 0;
  const server = await startClosingServer(t, sshd, () => ({ bytes: BYTES.subarray(0, size), eof }));
  const tunnel = startTunnel(
    t,
    { ...specFor({ ...sshd, port: server.port }, [[0, 1]]), forwards: [forward] },
    { clock },
  );
  await tunnel.untilPhase('up');
  return {
    server,
    tunnel,
    send: (bytes: number) => (size = bytes),
    open: (allowHalfOpen = false): Socket =>
      connect(place === 'tcp' ? { port, host: '127.0.0.1', allowHalfOpen } : { path, allowHalfOpen }),
  };
}

function tcp(port: number) {
  return { type: 'tcp', host: '127.0.0.1', port } as const;
}

/** Reads 64 KiB every millisecond at most, to the end. */
async function slowly(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    socket.pause();
    setTimeout(() => socket.resume(), 1);
  });
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

async function idle(tunnel: TestTunnel): Promise<void> {
  await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections === 0), { what: 'the ends' });
}

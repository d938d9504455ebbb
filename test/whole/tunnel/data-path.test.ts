import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, after, suite, test } from 'node:test';
import {
  pattern,
  startAnswersAfterEnd,
  startEcho,
  startNeverReads,
  startResets,
  startSource,
  type TestTarget,
} from '../../support/echo.ts';
import { watchReturns } from '../../../src/net/streams/lent-memory.ts';
import { listen } from '../../support/listen.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

const MIB = 1024 * 1024;

/** What may wait on the way when one end stops: the buffers of three kernel sockets, sshd's and the channel's windows, and ours. */
const ON_THE_WAY = 40 * MIB;

let sshd: TestSshd;
let echo: TestTarget;

before(async () => {
  // Whoever looks at memory that was only lent finds other bytes.
  watchReturns((memory) => memory.fill(0xdb));
  sshd = await startSshd();
  echo = await startEcho();
});
after(async () => {
  await echo.close();
  await sshd.stop();
});

suite('one connection', () => {
  test('loses nothing when either end finishes first', async (t) => {
    const late = await startAnswersAfterEnd();
    t.after(() => late.close());
    const early = await startSource(3 * MIB);
    t.after(() => early.close());
    const [first, second] = [await freePort(), await freePort()];
    const tunnel = startTunnel(t, specFor(sshd, [[first, late.port], [second, early.port]])); // oxfmt-ignore
    await tunnel.untilPhase('up');

    assert.equal(await visit(first, 'sent before the end'), 'sent before the end');

    // The target ends at once; the visitor still sends, and is heard.
    const visitor = connect({ port: second, host: '127.0.0.1', allowHalfOpen: true });
    const received = await hashOf(visitor);
    assert.equal(
      received,
      createHash('sha256')
        .update(pattern(0, 3 * MIB))
        .digest('hex'),
    );
    visitor.end('after the target had ended');
    await until(() => early.received() === 26, { what: 'what the visitor sent late' });
    await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections === 0), {
      what: 'the ends',
    });
  });

  test('turns a visitor away when the target is dead, says so, and forgives it when it is back', async (t) => {
    const target = await freePort();
    const port = await freePort();
    const tunnel = startTunnel(t, specFor(sshd, [[port, target]]));
    await tunnel.untilPhase('up');
    await assertClosed(connect(port, '127.0.0.1'));
    await until(() => tunnel.state().forwards[0]?.targetFailure?.code === 'target-unreachable', {
      what: 'the failure',
    });
    assert.equal(tunnel.state().forwards[0]?.counters.refusedConnections, 1);
    assert.equal(tunnel.state().phase, 'up');
    const server = createServer((socket) => socket.on('error', () => {}).end('back'));
    await listen(server, '127.0.0.1', target);
    t.after(() => server.close());
    assert.equal(await visit(port, ''), 'back');
    assert.equal(tunnel.state().forwards[0]?.targetFailure, null);
  });

  test('ends the visitor when the target resets, and the target when the visitor does', async (t) => {
    const resets = await startResets();
    t.after(() => resets.close());
    const never = await startNeverReads();
    t.after(() => never.close());
    const [first, second] = [await freePort(), await freePort()];
    const tunnel = startTunnel(t, specFor(sshd, [[first, resets.port], [second, echo.port]])); // oxfmt-ignore
    await tunnel.untilPhase('up');
    await assertClosed(connect(first, '127.0.0.1'));

    const visitor = connect(second, '127.0.0.1');
    visitor.on('error', () => {});
    visitor.write('x');
    await new Promise((resolve) => visitor.once('data', resolve));
    const open = echo.open();
    visitor.resetAndDestroy();
    await until(() => echo.open() < open, { what: 'the end of the target' });
    await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections === 0), {
      what: 'the ends',
    });
  });

  test('logs the beginning and the end of a visit', async (t) => {
    const port = await freePort();
    const tunnel = startTunnel(t, specFor(sshd, [[port, echo.port]]));
    await tunnel.untilPhase('up');
    await visit(port, '12345');
    await until(() => tunnel.lines.some(({ msg }) => msg === 'connection ended: closed'), {
      what: 'the end in the log',
    });
    const opened = tunnel.lines.find(({ msg }) => msg === 'connection opened');
    const ended = tunnel.lines.find(({ msg }) => msg === 'connection ended: closed');
    assert.match(String(opened?.['originator']), /^127\.0\.0\.1:\d+$/);
    assert.deepEqual(
      [ended?.['originator'], ended?.['target'], ended?.['bytesIn'], ended?.['bytesOut'], typeof ended?.['seconds']],
      [opened?.['originator'], `127.0.0.1:${echo.port}`, 5, 5, 'number'],
    );
  });

  test('does not wait for an acknowledgement when an answer is in two writes', async (t) => {
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', () => {
        socket.write('a');
        setImmediate(() => socket.write('b'));
      });
    });
    const target = await listen(server, '127.0.0.1');
    t.after(() => server.close());
    const port = await freePort();
    const tunnel = startTunnel(t, specFor(sshd, [[port, target]]));
    await tunnel.untilPhase('up');
    const visitor = connect({ port, host: '127.0.0.1', noDelay: true });
    const rounds: number[] = [];
    // Without TCP_NODELAY each but the first ones costs 40 ms and more; on a busy machine not all are quick.
    const quick = () => rounds.slice(50).filter((ms) => ms < 35).length;
    while (quick() <= 10 && rounds.length < 1000) {
      const started = performance.now();
      await question(visitor);
      rounds.push(performance.now() - started);
    }
    visitor.destroy();
    assert.ok(quick() > 10, rounds.join(' '));
  });

  test('connects Unix sockets on either side', async (t) => {
    const directory = await tempDir(t);
    const [remote, local] = [join(directory, 'remote.sock'), join(directory, 'local.sock')];
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
    await new Promise<void>((resolve) => server.listen(local, resolve));
    t.after(() => server.close());
    const tunnel = startTunnel(
      t,
      specFor(sshd, [[1, 1]], {
        forwards: [{ kind: 'remote', listen: { type: 'unix', path: remote }, target: { type: 'unix', path: local } }],
      }),
    );
    await tunnel.untilPhase('up');
    const visitor = connect({ path: remote, allowHalfOpen: true });
    visitor.end('through two files');
    let answer = '';
    for await (const chunk of visitor) answer += String(chunk);
    assert.equal(answer, 'through two files');
  });
});

suite('back-pressure', () => {
  test("holds up a visitor's own target alone when he stops reading", async (t) => {
    const source = await countingSource();
    t.after(() => source.server.close());
    const [first, second] = [await freePort(), await freePort()];
    const tunnel = startTunnel(t, specFor(sshd, [[first, source.port], [second, echo.port]])); // oxfmt-ignore
    await tunnel.untilPhase('up');
    const visitors = Array.from({ length: 3 }, () => connect(first, '127.0.0.1').pause());
    t.after(() => visitors.forEach((visitor) => visitor.destroy()));
    await untilStill(() => source.sent());
    assert.ok(source.sent() > MIB && source.sent() < 3 * ON_THE_WAY, `${source.sent()} bytes left three sources`);
    assert.equal(await visit(second, 'still here'), 'still here');
    visitors[0]?.resume();
    const before = source.sent();
    await until(() => source.sent() > before + 3 * ON_THE_WAY, { what: 'the flow to go on' });
  });

  test("holds up a target's own visitor alone when it stops reading", async (t) => {
    const never = await startNeverReads();
    t.after(() => never.close());
    const [first, second] = [await freePort(), await freePort()];
    const tunnel = startTunnel(t, specFor(sshd, [[first, never.port], [second, echo.port]])); // oxfmt-ignore
    await tunnel.untilPhase('up');
    const visitor = connect(first, '127.0.0.1');
    visitor.on('error', () => {});
    t.after(() => visitor.destroy());
    let sent = 0;
    const pump = () => {
      while (!visitor.destroyed && visitor.write(BLOCK)) sent += BLOCK.length;
      sent += BLOCK.length;
    };
    visitor.on('drain', pump);
    pump();
    await untilStill(() => sent);
    assert.ok(sent > MIB && sent < ON_THE_WAY, `${sent} bytes left the visitor`);
    assert.equal(await visit(second, 'still here'), 'still here');
  });

  test('carries many connections at once in both directions, with every byte right', async (t) => {
    const port = await freePort();
    const tunnel = startTunnel(t, specFor(sshd, [[port, echo.port]]));
    await tunnel.untilPhase('up');
    const sizes = [24 * MIB, 24 * MIB, ...Array.from({ length: 60 }, (_, index) => (index * 7919) % 200_000)];
    await Promise.all(
      sizes.map(async (size) => {
        const visitor = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
        const sent = pattern(size, size);
        const answered = hashOf(visitor);
        visitor.end(sent);
        assert.equal(await answered, createHash('sha256').update(sent).digest('hex'));
      }),
    );
  });
});

test('leaves nothing behind after a thousand connections, however they end', async (t) => {
  const started = performance.now();
  const resets = await startResets();
  t.after(() => resets.close());
  const source = await startSource(MIB / 4);
  t.after(() => source.close());
  const ports = [await freePort(), await freePort(), await freePort(), await freePort()] as const;
  const tunnel = startTunnel(
    t,
    specFor(sshd, [
      [ports[0], echo.port],
      [ports[1], resets.port],
      [ports[2], source.port],
      [ports[3], await freePort()],
    ]),
  );
  await tunnel.untilPhase('up');
  const endings: readonly ((index: number) => Promise<void>)[] = [
    async () => assert.equal(await visit(ports[0], 'echo'), 'echo'),
    () => assertClosed(connect(ports[1], '127.0.0.1')),
    () => leave(ports[2], (visitor) => visitor.destroy()),
    () => leave(ports[2], (visitor) => visitor.resetAndDestroy()),
    () => assertClosed(connect(ports[3], '127.0.0.1')),
  ];
  await Promise.all(Array.from({ length: 50 }, (_, index) => endings[index % endings.length]!(index)));
  const idle = () => tunnel.state().forwards.every(({ counters }) => counters.connections === 0);
  await until(idle, { what: 'the first fifty to end' });
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const atRest = descriptors();
  for (let round = 0; round < 19; round++) {
    await Promise.all(Array.from({ length: 50 }, (_, index) => endings[index % endings.length]!(index)));
  }
  await until(idle, { what: 'all to end' });
  await until(() => descriptors() <= atRest + 2, {
    what: () => `${descriptors()} descriptors to go back to ${atRest}`,
  });
  const counted = tunnel
    .state()
    .forwards.map(({ counters }) => counters.totalConnections + counters.refusedConnections);
  assert.equal(
    counted.reduce((sum, count) => sum + count),
    1000,
  );
  const lines = (start: string) => tunnel.lines.filter(({ msg }) => String(msg).startsWith(start)).length;
  assert.equal(lines('connection opened'), lines('connection ended'));
  const minutes = Math.ceil((performance.now() - started) / 60_000);
  assert.ok(lines('connection opened') <= 60 * (minutes + 1), 'a flood does not flood the log');
});

test('resets targets and leaves nothing when the connection dies under them', async (t) => {
  const source = await countingSource();
  t.after(() => source.server.close());
  const never = await startNeverReads();
  t.after(() => never.close());
  const [first, second] = [await freePort(), await freePort()];
  const tunnel = startTunnel(t, specFor(sshd, [[first, source.port], [second, never.port]])); // oxfmt-ignore
  await tunnel.untilPhase('up');
  const atRest = readdirSync('/proc/self/fd').length;
  const visitors = [
    connect(first, '127.0.0.1').pause(),
    connect(first, '127.0.0.1').resume(),
    connect(second, '127.0.0.1'),
  ];
  for (const visitor of visitors) visitor.on('error', () => {});
  visitors[2]?.write(BLOCK);
  await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections > 0), {
    what: 'the visitors',
  });
  await until(() => source.sent() > 8 * MIB, { what: 'a transfer' });
  sshd.killSessions();
  await until(() => source.resets() === 2, { what: 'both sources to be reset' });
  for (const visitor of visitors) visitor.destroy();
  await tunnel.untilPhase('up');
  await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections === 0), { what: 'the ends' });
  await until(() => readdirSync('/proc/self/fd').length <= atRest + 2, { what: 'the descriptors' });
});

const BLOCK = Buffer.alloc(64 * 1024, 1);

/** Sends for ever; `sent` is what the kernel took, over all connections. */
async function countingSource(): Promise<{ port: number; server: Server; sent(): number; resets(): number }> {
  const sockets: Socket[] = [];
  let resets = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resets += 1;
    });
    const pump = () => {
      while (!socket.destroyed && socket.write(BLOCK));
    };
    socket.on('drain', pump);
    pump();
  });
  const port = await listen(server, '127.0.0.1');
  return {
    port,
    server,
    sent: () => sockets.reduce((sum, socket) => sum + socket.bytesWritten - socket.writableLength, 0),
    resets: () => resets,
  };
}

/** Waits until a number has not changed for half a second. */
async function untilStill(read: () => number): Promise<void> {
  let last = -1;
  let since = performance.now();
  await until(
    () => {
      const now = read();
      if (now !== last) since = performance.now();
      last = now;
      return now > 0 && performance.now() - since > 500;
    },
    { what: () => `a standstill, at ${last}` },
  );
}

/** Of all that comes until the other end has finished; ours stays open. */
function hashOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const hash = createHash('sha256');
    socket.on('data', (chunk: Buffer) => hash.update(chunk));
    socket.once('end', () => resolve(hash.digest('hex')));
    socket.once('error', reject);
  });
}

function assertClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => {});
    socket.resume();
    socket.once('close', () => resolve());
  });
}

/** Leaves in the middle of an answer. */
function leave(port: number, how: (visitor: Socket) => void): Promise<void> {
  return new Promise((resolve) => {
    const visitor = connect(port, '127.0.0.1');
    visitor.on('error', () => {});
    visitor.once('data', () => how(visitor));
    visitor.once('close', () => resolve());
  });
}

/** Asks and waits for both bytes of the answer. */
function question(visitor: Socket): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes < 2) return;
      visitor.off('data', onData);
      resolve();
    };
    visitor.on('data', onData);
    visitor.write('?');
  });
}

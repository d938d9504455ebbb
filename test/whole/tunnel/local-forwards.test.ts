import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import type { ForwardSpec, TunnelSpec } from '../../../src/model/spec.ts';
import {
  pattern,
  startAnswersAfterEnd,
  startEcho,
  startNeverReads,
  startResets,
  startSource,
} from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { socks } from '../../support/socks-client.ts';
import { visit } from '../../support/visit.ts';

const tcp = (port: number, host = 'localhost') => ({ type: 'tcp', host, port }) as const;
const SOCKS = { type: 'socks' } as const;

describe('a local forward', { concurrency: 4 }, () => {
  test('leads from here to what the server reaches, on both loopback addresses, and ends with the tunnel', async (t) => {
    const port = await freePort();
    const echo = await target(t, startEcho());
    const { tunnel } = await start(t, [{ kind: 'local', listen: tcp(port), target: tcp(echo.port, '127.0.0.1') }]);
    const { forwards } = await tunnel.untilPhase('up');
    assert.equal(forwards[0]?.state, 'up');
    assert.equal(forwards[0].verified, 'yes');
    assert.equal(await visit(port, 'hello there'), 'hello there');
    assert.equal(await text(connect({ port, host: '::1', allowHalfOpen: true }).end('six')), 'six');
    await until(() => tunnel.state().forwards[0]?.counters.connections === 0, { what: 'the ends' });
    const { counters } = tunnel.state().forwards[0]!;
    assert.equal(counters.totalConnections, 2);
    assert.equal(counters.bytesIn, 'hello theresix'.length);
    assert.equal(counters.bytesOut, 'hello theresix'.length);
    assert.ok(tunnel.lines.some((line) => String(line['msg']) === 'connection ended: closed'));
    await tunnel.stop();
    await assert.rejects(visit(port, 'anybody?'), { code: 'ECONNREFUSED' });
  });

  test('brings much data whole, half-closes both ways, and passes resets on', async (t) => {
    const [big, patient, resets] = [await freePort(), await freePort(), await freePort()];
    const source = await target(t, startSource(20_000_000));
    const late = await target(t, startAnswersAfterEnd());
    const rude = await target(t, startResets());
    const { tunnel } = await start(t, [
      { kind: 'local', listen: tcp(big), target: tcp(source.port, '127.0.0.1') },
      { kind: 'local', listen: tcp(patient), target: tcp(late.port, '127.0.0.1') },
      { kind: 'local', listen: tcp(resets), target: tcp(rude.port, '127.0.0.1') },
    ]);
    await tunnel.untilPhase('up');
    const received = await buffer(connect({ port: big, host: '127.0.0.1' }));
    assert.ok(received.equals(pattern(0, 20_000_000)));
    const words = 'x'.repeat(300_000);
    assert.equal(await visit(patient, words), words);
    await assert.doesNotReject(
      new Promise<void>((resolve) =>
        connect({ port: resets, host: '127.0.0.1' })
          .on('error', () => {})
          .on('close', () => resolve()),
      ),
    );
    await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections === 0), {
      what: 'the ends',
    });
  });

  test('costs a bounded amount of memory, and no other visitor, when a target never reads', async (t) => {
    const [stuck, free] = [await freePort(), await freePort()];
    const deaf = await target(t, startNeverReads());
    const echo = await target(t, startEcho());
    const { tunnel } = await start(t, [
      { kind: 'local', listen: tcp(stuck), target: tcp(deaf.port, '127.0.0.1') },
      { kind: 'local', listen: tcp(free), target: tcp(echo.port, '127.0.0.1') },
    ]);
    await tunnel.untilPhase('up');
    const visitor = connect({ port: stuck, host: '127.0.0.1' }).on('error', () => {});
    t.after(() => visitor.destroy());
    visitor.write(Buffer.alloc(100_000_000));
    let last = -1;
    await until(
      async () => {
        const now = tunnel.state().forwards[0]!.counters.bytesIn;
        const still = now === last && now > 0;
        last = now;
        await new Promise((resolve) => setTimeout(resolve, 200));
        return still;
      },
      { what: 'the flow to stop' },
    );
    assert.ok(last < 20_000_000, `${last} bytes were taken`);
    assert.equal(await visit(free, 'still here'), 'still here');
  });

  test('makes our Unix socket for its owner alone, and replaces a dead one only when that is wanted', async (t) => {
    const sshd = await server(t);
    const here = join(sshd.dir, 'here.sock');
    const there = join(sshd.dir, 'there.sock');
    const greeter = createServer((socket) => socket.end('from the socket'));
    await new Promise<void>((resolve) => greeter.listen(there, resolve));
    t.after(() => greeter.close());
    const echo = await target(t, startEcho());
    const port = await freePort();
    const forwards: ForwardSpec[] = [
      { kind: 'local', listen: { type: 'unix', path: here }, target: tcp(echo.port, '127.0.0.1') },
      { kind: 'local', listen: tcp(port), target: { type: 'unix', path: there } },
    ];
    const { tunnel } = await start(t, forwards, {}, sshd);
    await tunnel.untilPhase('up');
    assert.equal(statSync(here).mode & 0o777, 0o600);
    assert.equal(await text(connect({ path: here, allowHalfOpen: true }).end('through the file')), 'through the file');
    assert.equal(await text(connect({ port, host: '127.0.0.1' })), 'from the socket');

    const second = startTunnel(t, { ...tunnel.spec, forwards: [forwards[0]!], streamLocalBindUnlink: true });
    assert.match((await second.untilFailure('forward-refused')).failure?.message ?? '', /in use by another program/);
    assert.equal(await text(connect({ path: here, allowHalfOpen: true }).end('still')), 'still');
    await second.stop();

    const dead = join(sshd.dir, 'dead.sock');
    execFileSync('/usr/bin/python3', [
      '-c',
      `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(dead)})`,
    ]);
    const onDead: ForwardSpec[] = [{ ...forwards[0]!, listen: { type: 'unix', path: dead } }];
    const careful = startTunnel(t, { ...tunnel.spec, forwards: onDead });
    await careful.untilFailure('forward-refused');
    await careful.stop();
    const third = startTunnel(t, { ...tunnel.spec, forwards: onDead, streamLocalBindUnlink: true });
    await third.untilPhase('up');
    assert.equal(await text(connect({ path: dead, allowHalfOpen: true }).end('alive')), 'alive');
  });

  test('reports a port when it is in use, and takes it when it is free', async (t) => {
    const port = await freePort();
    const other = createServer();
    await listen(other, '127.0.0.1', port);
    const echo = await target(t, startEcho());
    const { tunnel } = await start(t, [{ kind: 'local', listen: tcp(port), target: tcp(echo.port, '127.0.0.1') }]);
    const { failure } = await tunnel.untilFailure('forward-refused');
    assert.equal(failure?.message, `this device cannot listen on localhost:${port}: it is in use by another program`);
    assert.equal(tunnel.state().forwards[0]?.refusal, 'in-use');
    assert.equal(tunnel.state().phase, 'forwarding');
    await assert.rejects(text(connect({ port, host: '::1' })), { code: 'ECONNREFUSED' }, 'half a listener is none');
    await close(other);
    const freed = performance.now();
    await tunnel.untilPhase('up');
    assert.ok(performance.now() - freed < 20_000, 'not the minute between logins');
    assert.equal(await visit(port, 'mine'), 'mine');
  });

  test('tells the visitor at once, and says why in status, when the server forbids it', async (t) => {
    const port = await freePort();
    const { tunnel } = await start(
      t,
      [{ kind: 'local', listen: tcp(port), target: tcp(1, '127.0.0.1') }],
      {},
      await server(t, { config: ['AllowTcpForwarding remote'] }),
    );
    await tunnel.untilPhase('up');
    await assert.rejects(visit(port, 'let me in'), { code: 'ECONNRESET' });
    const [forward] = tunnel.state().forwards;
    assert.equal(forward?.targetFailure?.code, 'forward-refused');
    assert.match(
      forward.targetFailure.message,
      /^the server forbids connections to 127\.0\.0\.1:1 \(administratively prohibited: AllowTcpForwarding/,
    );
    assert.equal(forward.counters.refusedConnections, 1);
  });

  test('reports a target when the server cannot reach it, and forgets that when it answers', async (t) => {
    const [port, closed] = [await freePort(), await freePort()];
    const { tunnel } = await start(t, [{ kind: 'local', listen: tcp(port), target: tcp(closed, '127.0.0.1') }]);
    await tunnel.untilPhase('up');
    await assert.rejects(visit(port, 'hello?'), { code: 'ECONNRESET' });
    assert.equal(tunnel.state().forwards[0]?.targetFailure?.code, 'target-unreachable');
    const late = createServer((socket) => socket.end('here'));
    await listen(late, '127.0.0.1', closed);
    t.after(() => late.close());
    assert.equal(await visit(port, ''), 'here');
    assert.equal(tunnel.state().forwards[0]?.targetFailure, null);
  });

  test('resets its visitors when the connection dies, takes no new ones, and comes back', async (t) => {
    const port = await freePort();
    const echo = await target(t, startEcho());
    const { sshd, tunnel } = await start(t, [
      { kind: 'local', listen: tcp(port), target: tcp(echo.port, '127.0.0.1') },
    ]);
    await tunnel.untilPhase('up');
    const visitor = connect({ port, host: '127.0.0.1' });
    visitor.write('x');
    await until(() => tunnel.state().forwards[0]?.counters.bytesOut === 1, { what: 'the echo' });
    const ended = new Promise<string>((resolve) => visitor.once('error', ({ message }) => resolve(message)));
    await sshd.kill();
    assert.match(await ended, /ECONNRESET/);
    await until(
      () =>
        visit(port, 'x').then(
          () => false,
          (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
        ),
      {
        what: 'nobody there',
      },
    );
    await sshd.restart();
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'again'), 'again');
  });

  test('leaves nothing behind when hundreds visit', async (t) => {
    const port = await freePort();
    const echo = await target(t, startEcho());
    const { tunnel } = await start(t, [{ kind: 'local', listen: tcp(port), target: tcp(echo.port, '127.0.0.1') }]);
    await tunnel.untilPhase('up');
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(
        Array.from({ length: 30 }, async (_, index) => {
          if (index % 3 > 0) return assert.equal(await visit(port, `${index}`), `${index}`);
          const rude = connect({ port, host: '127.0.0.1' }).on('error', () => {});
          await new Promise((resolve) => rude.once('connect', resolve));
          return rude.resetAndDestroy();
        }),
      );
    }
    await until(() => tunnel.state().forwards[0]?.counters.connections === 0 && echo.open() === 0, {
      what: 'the ends',
    });
  });
});

describe('a dynamic forward', { concurrency: 4 }, () => {
  for (const version of [4, 5] as const) {
    test(`has the server look the name up and connect: SOCKS ${version}`, async (t) => {
      const port = await freePort();
      const echo = await target(t, startEcho());
      const { tunnel } = await start(t, [{ kind: 'dynamic', listen: tcp(port), target: SOCKS }]);
      await tunnel.untilPhase('up');
      const { code, socket } = await socks(port, version, 'localhost', echo.port);
      assert.equal(code, version === 4 ? 90 : 0);
      assert.equal(await text(socket.end('through the proxy')), 'through the proxy');
      const refused = await socks(port, version, 'localhost', 1);
      assert.equal(refused.code, version === 4 ? 91 : 4);
      assert.equal(await text(refused.socket), '');
      assert.equal(tunnel.state().forwards[0]?.targetFailure, null, 'one closed port says nothing of the forward');
      assert.equal(tunnel.state().forwards[0]?.counters.refusedConnections, 1);
    });
  }

  test('tells the client, and says so in status, when the server forbids it', async (t) => {
    const port = await freePort();
    const { tunnel } = await start(
      t,
      [{ kind: 'dynamic', listen: tcp(port), target: SOCKS }],
      {},
      await server(t, { config: ['AllowTcpForwarding remote'] }),
    );
    await tunnel.untilPhase('up');
    assert.equal((await socks(port, 5, 'localhost', 22)).code, 2);
    await until(() => tunnel.state().forwards[0]?.targetFailure?.code === 'forward-refused', { what: 'the reason' });
  });

  test('rejects a client when it does not speak SOCKS', async (t) => {
    const port = await freePort();
    const { tunnel } = await start(t, [{ kind: 'dynamic', listen: tcp(port), target: SOCKS }]);
    await tunnel.untilPhase('up');
    assert.match(await visit(port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 501 /);
    await until(() => tunnel.state().forwards[0]?.counters.refusedConnections === 1, { what: 'the count' });
    assert.ok(tunnel.lines.some((line) => /this is a SOCKS proxy/.test(String(line['msg']))));
  });
});

test('makes this device the exit when it is a remote dynamic forward', async (t) => {
  const echo = await target(t, startEcho());
  const { tunnel } = await start(t, [{ kind: 'remote', listen: tcp(0, '127.0.0.1'), target: SOCKS }]);
  const { forwards } = await tunnel.untilPhase('up');
  const port = forwards[0]?.boundPort ?? 0;
  for (const version of [4, 5] as const) {
    const { code, socket } = await socks(port, version, 'localhost', echo.port);
    assert.equal(code, version === 4 ? 90 : 0);
    assert.equal(await text(socket.end('out here')), 'out here');
  }
  assert.equal((await socks(port, 5, '127.0.0.1', 1)).code, 5);
  assert.match(await visit(port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 501 /);
  await until(() => tunnel.state().forwards[0]?.counters.connections === 0, { what: 'the ends' });
  assert.equal(tunnel.state().forwards[0]?.counters.totalConnections, 2);
  await until(() => rejections(tunnel).length >= 2, { what: 'the lines of the two that were rejected' });
  // The server chose the port, at which others may look for what was there before.
  assert.ok(
    rejections(tunnel).some((text) => text.includes('ECONNREFUSED')),
    rejections(tunnel).join('\n'),
  );
  assert.ok(
    rejections(tunnel).some((text) => text.includes('SOCKS')),
    rejections(tunnel).join('\n'),
  );
  assert.equal(tunnel.state().forwards[0]?.counters.refusedConnections, rejections(tunnel).length);
});

function rejections({ lines }: TestTunnel): readonly string[] {
  return lines.map(({ msg }) => String(msg)).filter((text) => text.startsWith('visitor rejected: '));
}

async function server(t: TestContext, options: SshdOptions = {}): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

async function target<T extends { close(): Promise<void> }>(t: TestContext, starting: Promise<T>): Promise<T> {
  const started = await starting;
  t.after(() => started.close());
  return started;
}

async function start(
  t: TestContext,
  forwards: readonly ForwardSpec[],
  changes: Partial<TunnelSpec> = {},
  running?: TestSshd,
): Promise<{ sshd: TestSshd; tunnel: TestTunnel }> {
  const sshd = running ?? (await server(t));
  return { sshd, tunnel: startTunnel(t, { ...specFor(sshd, [[0, 1]], changes), forwards }) };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

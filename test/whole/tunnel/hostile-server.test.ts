import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd } from '../../support/sshd.ts';
import type { TestTunnel } from '../../support/tunnel.ts';
import { until } from '../../support/until.ts';
import { startFakeServer, startFakeSsh } from '../../support/fake-server.ts';
import { startFaultyRelay, type Damage } from '../../support/faulty-relay.ts';
import { assertHarmless, assertRetried, NASTY, startAt } from '../../support/hostile.ts';
import { pour } from '../../support/pour.ts';
import { visit } from '../../support/visit.ts';

/**
 * For who would have to be waited for: still long enough to hear on a busy machine what he says before. What the connection takes of it is
 * missing in the time that the failure names.
 */
const QUICK = { connectTimeoutMs: 3000 };

// All key exchanges: what stops or is spoilt at a byte of the handshake counts on them.
const sshd = await startSshd({ everyKeyExchange: true });
after(() => sshd.stop());

describe('a peer that does not speak SSH', { concurrency: 8 }, () => {
  const cases: readonly [title: string, serve: (socket: Socket) => void, message: RegExp][] = [
    [
      'a web server',
      (socket) => socket.end('HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>'),
      /instead of SSH it says: HTTP\/1\.1 400 Bad Request$/,
    ],
    [
      'a web server that keeps the connection',
      (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n'),
      /did not finish the SSH handshake within \d s; instead of SSH it says: HTTP\/1\.1 400/,
    ],
    ['an sshd with too many logins', (socket) => socket.end('Exceeded MaxStartups\r\n'), /Exceeded MaxStartups/],
    ['one that closes at once', (socket) => socket.end(), /lost before handshake|closed/],
    ['one that says nothing', (socket) => socket.resume(), /did not finish the SSH handshake within \d s$/],
    [
      'one that introduces itself and stops',
      (socket) => socket.write('SSH-2.0-x\r\n'),
      /within \d s($|; the server identified itself)/,
    ],
    ['garbage', (socket) => socket.write(Buffer.alloc(100_000, 0x9b)), /no SSH identification in \d+ bytes/],
    [
      'garbage after the introduction',
      (socket) => socket.write(`SSH-2.0-x\r\n${'\u009b'.repeat(5000)}`),
      /impossible length/,
    ],
    ['another version', (socket) => socket.write('SSH-1.5-x\r\n'), /identification/],
    ['control characters', (socket) => socket.end(NASTY), /says: a\\x1b\[31mb/],
  ];
  for (const [title, serve, message] of cases) {
    test(title, async (t) => {
      const server = await startFakeServer(t, serve);
      const tunnel = await startAt(t, sshd, server.port, QUICK);
      await assertRetried(tunnel, server, 'handshake-failed', message);
      assertHarmless(tunnel);
    });
  }

  test('fails when the peer resets at once', async (t) => {
    const server = await startFakeServer(t, (socket) => socket.resetAndDestroy());
    const tunnel = await startAt(t, sshd, server.port);
    await until(() => server.accepted() >= 2, { what: 'the next attempt' });
    // The reset may come before the connection is seen to be there.
    assert.match(tunnel.state().failure?.code ?? '', /^(handshake-failed|connect-refused)$/);
  });

  for (const [title, what] of [
    ['a line of a megabyte', Buffer.alloc(1 << 20, 'x')],
    ['lines without end', Buffer.from('welcome to the machine\r\n'.repeat(40_000))],
    ['an introduction of a megabyte', Buffer.from(`SSH-2.0-${'x'.repeat(1 << 20)}\r\n`)],
    ['a first packet of two gigabytes', Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(1 << 20, 0x7f)])],
  ] as const) {
    test(`is left after little was read when it sends ${title} and no end`, async (t) => {
      let sent = 0;
      const server = await startFakeServer(t, (socket) => pour(socket, what, () => (sent += what.length)));
      const tunnel = await startAt(t, sshd, server.port);
      await assertRetried(tunnel, server, 'handshake-failed', /./);
      // What is not read fits into the buffers of two loopback sockets, for each of the attempts.
      await tunnel.stop();
      assert.ok(sent / server.accepted() < 16 << 20, `${sent} bytes in ${server.accepted()} connections`);
    });
  }
});

describe('a server that stops in the middle', { concurrency: 8 }, () => {
  for (const [title, bytes] of [
    ['in its introduction', 10],
    ['in its KEXINIT', 500],
    ['after its KEXINIT', 1150],
  ] as const) {
    test(title, async (t) => {
      const relay = await startFaultyRelay(t, sshd.port, (piece, offset) =>
        offset >= bytes ? null : piece.subarray(0, bytes - offset),
      );
      const tunnel = await startAt(t, sshd, relay.port, QUICK);
      await assertRetried(tunnel, relay, 'handshake-failed', /did not finish the SSH handshake within \d s/);
    });
  }

  test('fails when the server stops in the authentication', async (t) => {
    let asked = false;
    const server = await startFakeSsh(t, sshd, (connection) =>
      connection.on('authentication', () => void (asked = true)),
    );
    const clock = skippingClock();
    const tunnel = await startAt(t, sshd, server.port, {}, { clock });
    await until(() => asked, { what: 'the login' });
    clock.skip(30_000);
    await assertRetried(tunnel, server, 'handshake-failed', /did not finish authentication within 30 s/);
    assert.ok(tunnel.phases.includes('authenticating'));
  });

  test('stays down when the server stops after the login', async (t) => {
    const server = await startFakeSsh(t, sshd, (connection, socket) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('ready', () => socket.pause());
    });
    const alive = { serverAliveIntervalMs: 300, serverAliveCountMax: 1 };
    const tunnel = await startAt(t, sshd, server.port, alive);
    await assertRetried(tunnel, server, 'keepalive-lost', /nothing heard/);
    assert.ok(!tunnel.phases.includes('up'));
  });
});

test('understands an introduction when it comes in single bytes', async (t) => {
  const server = await startFakeServer(t, (socket) => {
    const upstream = connect({ port: sshd.port, host: '127.0.0.1', noDelay: true });
    t.after(() => upstream.destroy());
    socket.on('data', (piece: Buffer) => upstream.write(piece));
    dribble(upstream, socket).catch(() => {}); // the end of the test cuts it off
  });
  const tunnel = await startAt(t, sshd, server.port);
  await tunnel.untilPhase('up');
});

/** Passes the first hundred bytes on one by one. */
async function dribble(from: Socket, to: Socket): Promise<void> {
  let left = 100;
  for await (const piece of from as AsyncIterable<Buffer>) {
    const slow = piece.subarray(0, left);
    for (const byte of slow) {
      to.write(Buffer.from([byte]));
      await wait(1);
    }
    left -= slow.length;
    to.write(piece.subarray(slow.length));
  }
}

describe('a path that spoils what it carries', { concurrency: 4 }, () => {
  const spoil =
    (from: number): Damage =>
    (piece, offset) => {
      const spoilt = Buffer.from(piece);
      const at = from - offset;
      if (at >= 0 && at < spoilt.length) spoilt[at] = (spoilt[at] ?? 0) ^ 0x55;
      return spoilt;
    };

  for (const offset of [45, 1110, 1400]) {
    test(`fails when the path spoils byte ${offset} of the handshake`, async (t) => {
      const relay = await startFaultyRelay(t, sshd.port, spoil(offset));
      const tunnel = await startAt(t, sshd, relay.port);
      await until(() => relay.accepted() >= 2, { what: () => `a second attempt after ${tunnel.phases.join()}` });
      assert.match(tunnel.state().failure?.code ?? '', /^(handshake-failed|no-common-algorithm)$/);
    });
  }

  for (const [title, ciphers, macs, at] of [
    ['the length, AES-GCM', ['aes128-gcm@openssh.com'], null, 0],
    ['the text, AES-GCM', ['aes128-gcm@openssh.com'], null, 10],
    ['the length, ChaCha20', ['chacha20-poly1305@openssh.com'], null, 1],
    ['the length, AES-CTR', ['aes128-ctr'], ['hmac-sha2-256'], 0],
    ['the MAC, AES-CTR', ['aes128-ctr'], ['hmac-sha2-256'], -1],
    ['the MAC, encrypt-then-MAC', ['aes128-ctr'], ['hmac-sha2-256-etm@openssh.com'], -1],
  ] as const) {
    test(`leaves or keeps the connection as it must when it is up: ${title}`, async (t) => {
      let armed = false;
      let sent = 0;
      const relay = await startFaultyRelay(t, sshd.port, (piece, _offset, client) => {
        if (!armed) return piece;
        armed = false;
        const spoilt = Buffer.from(piece);
        const index = at < 0 ? spoilt.length + at : at;
        spoilt[index] = (spoilt[index] ?? 0) ^ 0x40;
        // A bogus length must not be waited for, nor must memory be taken for it.
        queueMicrotask(() => pour(client, Buffer.alloc(1 << 20), () => (sent += 1 << 20)));
        return spoilt;
      });
      const tunnel = await startAt(t, sshd, relay.port, { ciphers, macs });
      await tunnel.untilPhase('up');
      armed = true;
      visit(listener(tunnel), 'x').catch(() => {});
      const { failure } = await tunnel.untilFailure('disconnected');
      assert.match(
        failure?.message ?? '',
        /^the connection was damaged on the way: a packet (has an impossible length|does not match its checksum)$/,
      );
      await tunnel.untilPhase('up');
      // The next connection is not taken for damaged.
      const damaged = tunnel.lines.filter(({ msg }) => String(msg).includes('damaged on the way'));
      assert.equal(damaged.length, 1, tunnel.phases.join());
      assert.ok(sent <= 16 << 20, `${sent} bytes`);
    });
  }
});

function listener(tunnel: TestTunnel): number {
  const listen = tunnel.spec.forwards[0]?.listen;
  return listen?.type === 'tcp' ? listen.port : 0;
}

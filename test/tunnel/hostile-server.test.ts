import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import ssh2, { type Connection } from 'ssh2';
import type { TunnelSpec } from '../../src/tunnel/spec.ts';
import { startEcho } from '../support/echo.ts';
import { startSshd, type TestSshd } from '../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel, type TestTunnelOptions } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { startBlackHole } from './black-hole.ts';
import { sendPayload, startFakeServer, startFakeSsh, uint32, type FakeServer } from './fake-server.ts';
import { startFaultyRelay, type Damage } from './faulty-relay.ts';
import { scaledClock } from './scaled-clock.ts';
import { visit } from './visit.ts';

let sshd: TestSshd;
before(async () => {
  sshd = await startSshd();
});
after(() => sshd.stop());

/** What would move a cursor, colour a terminal, end a line or turn text around. */
const NASTY = 'a\u001b[31mb\u009b2Jc\u202ed\r\n\u2028e\u0007f\u0000g';

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
      /did not finish the SSH handshake within 1 s; instead of SSH it says: HTTP\/1\.1 400/,
    ],
    ['an sshd with too many logins', (socket) => socket.end('Exceeded MaxStartups\r\n'), /Exceeded MaxStartups/],
    ['one that closes at once', (socket) => socket.end(), /lost before handshake|closed/],
    ['one that says nothing', (socket) => socket.resume(), /did not finish the SSH handshake within 1 s$/],
    ['one that introduces itself and stops', (socket) => socket.write('SSH-2.0-x\r\n'), /within 1 s$/],
    ['garbage', (socket) => socket.write(Buffer.alloc(100_000, 0x9b)), /no SSH identification in \d+ bytes/],
    ['garbage after the introduction', (socket) => socket.write(`SSH-2.0-x\r\n${'\u009b'.repeat(5000)}`), /length/],
    ['another version', (socket) => socket.write('SSH-1.5-x\r\n'), /identification/],
    ['control characters', (socket) => socket.end(NASTY), /says: a\\x1b\[31mb/],
  ];
  for (const [title, serve, message] of cases) {
    test(title, async (t) => {
      const server = await startFakeServer(t, serve);
      const tunnel = await start(t, server.port);
      await assertRetried(tunnel, server, 'handshake-failed', message);
      assertHarmless(tunnel);
    });
  }

  test('one that resets at once', async (t) => {
    const server = await startFakeServer(t, (socket) => socket.resetAndDestroy());
    const tunnel = await start(t, server.port);
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
    test(`${title}, and never an end: little is read`, async (t) => {
      let sent = 0;
      const server = await startFakeServer(t, (socket) => pour(socket, what, () => (sent += what.length)));
      const tunnel = await start(t, server.port);
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
      const tunnel = await start(t, relay.port);
      await assertRetried(tunnel, relay, 'handshake-failed', /did not finish the SSH handshake within 1 s/);
    });
  }

  test('in the authentication', async (t) => {
    const server = await startFakeSsh(t, sshd, (connection) => connection.on('authentication', () => {}));
    const tunnel = await start(t, server.port, { connectTimeoutMs: 10_000 }, { clock: scaledClock(30) });
    await assertRetried(tunnel, server, 'handshake-failed', /did not finish authentication within 30 s/);
    assert.ok(tunnel.phases.includes('authenticating'));
  });

  test('after it has let us in: what it had is not enough to be up', async (t) => {
    const server = await startFakeSsh(t, sshd, (connection, socket) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('ready', () => socket.pause());
    });
    const alive = { serverAliveIntervalMs: 300, serverAliveCountMax: 1 };
    const tunnel = await start(t, server.port, alive);
    await assertRetried(tunnel, server, 'keepalive-lost', /nothing heard/);
    assert.ok(!tunnel.phases.includes('up'));
  });
});

test('an introduction that comes in single bytes is understood', async (t) => {
  const server = await startFakeServer(t, (socket) => {
    const upstream = connect({ port: sshd.port, host: '127.0.0.1', noDelay: true });
    t.after(() => upstream.destroy());
    socket.on('data', (piece: Buffer) => upstream.write(piece));
    dribble(upstream, socket).catch(() => {}); // the end of the test cuts it off
  });
  const tunnel = await start(t, server.port, { connectTimeoutMs: 10_000 });
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
    test(`in the handshake, at byte ${offset}`, async (t) => {
      const relay = await startFaultyRelay(t, sshd.port, spoil(offset));
      const tunnel = await start(t, relay.port);
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
    test(`once it is up: ${title}`, async (t) => {
      let armed = false;
      let sent = 0;
      const relay = await startFaultyRelay(t, sshd.port, (piece, _offset, client) => {
        if (!armed) return piece;
        armed = false;
        const spoilt = Buffer.from(piece);
        const index = at < 0 ? spoilt.length + at : at;
        spoilt[index] = (spoilt[index] ?? 0) ^ 0x40;
        // A bogus length must not be waited for, nor must memory be taken for it.
        pour(client, Buffer.alloc(1 << 20), () => (sent += 1 << 20));
        return spoilt;
      });
      const tunnel = await start(t, relay.port, { ciphers, macs });
      await tunnel.untilPhase('up');
      armed = true;
      visit(listener(tunnel), 'x').catch(() => {});
      const { failure } = await tunnel.untilFailure('disconnected');
      assert.match(failure?.message ?? '', /MAC|length|authenticate|decrypt/i);
      await tunnel.untilPhase('up');
      assert.equal(relay.accepted(), 2);
      assert.ok(sent <= 16 << 20, `${sent} bytes`);
    });
  }
});

describe('a server that breaks the rules', { concurrency: 6 }, () => {
  test('channels that nobody asked for are refused', async (t) => {
    const answers: string[] = [];
    const { tunnel, connection } = await startGranting(t);
    const { port } = tunnel.spec.forwards[0]!.listen as { port: number };
    const open = (host: string, at: number) =>
      connection().forwardOut(host, at, '192.0.2.1', 1, (error) => answers.push(error ? 'refused' : 'opened'));
    open('localhost', port + 1);
    open('127.0.0.1', port);
    open('', port);
    // RFC 4254 section 5.1: SSH_MSG_CHANNEL_OPEN.
    for (const type of ['session', 'x11', 'auth-agent@openssh.com', 'forwarded-streamlocal@openssh.com', NASTY]) {
      sendPayload(
        connection(),
        90,
        type,
        uint32(900),
        uint32(1 << 20),
        uint32(1 << 15),
        'x',
        uint32(1),
        'y',
        uint32(2),
      );
    }
    open('localhost', port);
    await until(() => answers.length === 4, { what: 'four answers' });
    assert.deepEqual(answers, ['refused', 'refused', 'refused', 'opened']);
    assert.equal(tunnel.state().phase, 'up');
    assertHarmless(tunnel);
  });

  test('a flood of visitors is bounded', async (t) => {
    const hole = await startBlackHole(t);
    const { tunnel, connection } = await startGranting(t, { connectTimeoutMs: 60_000 }, hole.port);
    const { port } = tunnel.spec.forwards[0]!.listen as { port: number };
    let refused = 0;
    const open = () =>
      connection().forwardOut('localhost', port, '192.0.2.1', 1, (error) => (refused += error ? 1 : 0));
    for (let visitor = 0; visitor < 1500; visitor++) open();
    await until(() => refused === 1500 - 1024, { what: () => `476 visitors turned away, not ${refused}` });
    assert.equal(tunnel.state().phase, 'up');
    await tunnel.stop();
  });

  test('texts with control characters never come out raw', async (t) => {
    const { tunnel, connection, server } = await startGranting(t, {}, null, 'x_\u001b[31m_\u0007');
    const { port } = tunnel.spec.forwards[0]!.listen as { port: number };
    // RFC 4252 section 5.4: SSH_MSG_USERAUTH_BANNER; RFC 4253 section 11: disconnect 1, debug 4.
    sendPayload(connection(), 53, NASTY, '');
    sendPayload(connection(), 4, 1, NASTY, '');
    connection().forwardOut('localhost', port, NASTY, 1, () => {});
    await until(() => tunnel.lines.some((line) => 'originator' in line), { what: 'the visitor in the log' });
    sendPayload(connection(), 1, uint32(2), NASTY, '');
    const { failure } = await tunnel.untilFailure('disconnected');
    assert.match(failure?.message ?? '', /^the server says: a\\x1b\[31mb\\x9b2Jc\\u202ed\\x0d\\x0a\\u2028e/);
    assert.ok(tunnel.lines.some((line) => 'banner' in line));
    assertHarmless(tunnel);
    await until(() => server.accepted() === 2, { what: 'the next attempt' });
  });

  for (const [title, reason, ends] of [
    ['with a complaint', 2, true],
    ['with a complaint, and then holds the connection', 2, false],
    ['without a complaint', 11, true],
    ['without a complaint, and then holds the connection', 11, false],
  ] as const) {
    const bye = (connection: Connection, socket: Socket) => {
      sendPayload(connection, 1, uint32(reason), 'that is all', '');
      // Nothing more is sent, and nothing is closed: the rest is ours.
      if (ends) socket.end();
    };
    const message = reason === 2 ? /the server says: that is all/ : /ended|closed/;

    test(`disconnects in the handshake ${title}`, async (t) => {
      const server = await startFakeServer(t, (socket) => {
        socket.write('SSH-2.0-x\r\n');
        socket.write(plainPacket(1, uint32(reason), 'that is all', ''));
        if (ends) socket.end();
      });
      await assertRetried(await start(t, server.port), server, 'handshake-failed', message);
    });

    test(`disconnects in the authentication ${title}`, async (t) => {
      const server = await startFakeSsh(t, sshd, (connection, socket) =>
        connection.on('authentication', () => bye(connection, socket)),
      );
      await assertRetried(await start(t, server.port), server, 'handshake-failed', message);
    });

    test(`disconnects when it is asked to listen ${title}`, async (t) => {
      const server = await startFakeSsh(t, sshd, (connection, socket) => {
        connection.on('authentication', (attempt) => attempt.accept());
        connection.on('request', () => bye(connection, socket));
      });
      const tunnel = await start(t, server.port, { serverAliveIntervalMs: 0 });
      await assertRetried(tunnel, server, 'disconnected', message);
    });

    test(`disconnects when it is up ${title}`, async (t) => {
      const { tunnel, connection, server } = await startGranting(t, { serverAliveIntervalMs: 0 });
      const session = connection();
      bye(session, server.sockets.at(-1)!);
      await until(() => server.accepted() === 2, { what: 'the next connection' });
      assert.match(tunnel.state().failure?.message ?? '', message);
      await tunnel.untilPhase('up');
    });
  }
});

describe('a server that lies about its host keys', { concurrency: 4 }, () => {
  const announce = (connection: Connection, ...keys: readonly (Buffer | string)[]) =>
    sendPayload(
      connection,
      80,
      'hostkeys-00@openssh.com',
      0,
      ...keys.flatMap((key) => [uint32(Buffer.byteLength(key)), Buffer.from(key)]),
    );
  const anotherKey = ssh2.utils.parseKey(ssh2.utils.generateKeyPairSync('ed25519').private);

  test('keys that are none', async (t) => {
    const { tunnel, connection } = await startGranting(t, {}, null, 'OpenSSH_9.9');
    announce(connection(), 'junk', '', NASTY);
    announce(connection());
    await wait(200);
    await assertNothingLearnt(tunnel);
    assert.equal(tunnel.state().phase, 'up');
  });

  test('a message that breaks off', async (t) => {
    const { tunnel, connection, server } = await startGranting(t, {}, null, 'OpenSSH_9.9');
    sendPayload(connection(), 80, 'hostkeys-00@openssh.com', 0, uint32(0xffffffff), Buffer.from('x'));
    await tunnel.untilFailure('disconnected');
    await until(() => server.accepted() === 2, { what: 'the next attempt' });
    await assertNothingLearnt(tunnel);
  });

  for (const [title, proof] of [
    ['with junk for a proof', ['junk']],
    ['with an empty proof', []],
    ['with the proof of nothing', ['', '']],
  ] as const) {
    test(`somebody else's key, ${title}`, async (t) => {
      if (anotherKey instanceof Error) throw anotherKey;
      const { tunnel, connection } = await startGranting(t, {}, null, 'OpenSSH_9.9');
      connection().on('request', (_accept, _reject, name: string) => {
        // RFC 4254 section 4: SSH_MSG_REQUEST_SUCCESS.
        if (/hostkeys-prove/.test(name)) sendPayload(connection(), 81, ...proof);
      });
      announce(connection(), anotherKey.getPublicSSH());
      await wait(200);
      await assertNothingLearnt(tunnel);
    });
  }
});

async function start(
  t: TestContext,
  port: number,
  changes: Partial<TunnelSpec> = {},
  options: TestTunnelOptions = {},
  target: number | null = null,
): Promise<TestTunnel> {
  const echo = await startEcho();
  t.after(() => echo.close());
  const reconnect = { minMs: 100, maxMs: 1000 };
  const spec = specFor(sshd, [[await freePort(), target ?? echo.port]], {
    port,
    reconnect,
    connectTimeoutMs: 1000,
    ...changes,
  });
  return startTunnel(t, spec, options);
}

/** A tunnel that is up at a server in this process, which grants every listener. */
async function startGranting(
  t: TestContext,
  changes: Partial<TunnelSpec> = {},
  target: number | null = null,
  ident?: string,
) {
  const connections: Connection[] = [];
  const sockets: Socket[] = [];
  const server = await startFakeSsh(
    t,
    sshd,
    (connection, socket) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', (accept, _reject, name) => name === 'tcpip-forward' && accept?.());
      connections.push(connection);
      sockets.push(socket);
    },
    ident,
  );
  const tunnel = await start(t, server.port, changes, {}, target);
  await tunnel.untilPhase('up');
  return { tunnel, connection: () => connections.at(-1)!, server: { ...server, sockets } };
}

/** It failed as it should, left nothing open, and tried again. */
async function assertRetried(tunnel: TestTunnel, server: FakeServer, code: string, message: RegExp): Promise<void> {
  const { failure } = await tunnel.untilFailure(code, 20_000);
  assert.match(failure?.message ?? '', message);
  await until(() => server.accepted() >= 2, { what: 'the next attempt' });
  await until(() => server.open() <= 1, { what: 'the end of the first connection' });
}

/** No text that is logged or shown holds a character that a terminal would obey. */
function assertHarmless(tunnel: TestTunnel): void {
  const harmful = [...'\u001b\u009b\u202e\u2028\u0007\u0000\r\n'];
  JSON.stringify([tunnel.lines, tunnel.state()], (_key, value: unknown) => {
    if (typeof value !== 'string') return value;
    for (const char of harmful) assert.ok(!value.includes(char), JSON.stringify(value));
    return value;
  });
}

async function assertNothingLearnt(tunnel: TestTunnel): Promise<void> {
  const file = tunnel.spec.userKnownHostsFiles[0] ?? '';
  assert.equal(readFileSync(file, 'utf8'), sshd.knownHostsLine('127.0.0.1', tunnel.spec.port));
}

function listener(tunnel: TestTunnel): number {
  const listen = tunnel.spec.forwards[0]?.listen;
  return listen?.type === 'tcp' ? listen.port : 0;
}

/** Sends the same for as long as it is taken. */
function pour(socket: Socket, piece: Buffer, onSent: () => void): void {
  const more = () => {
    while (!socket.destroyed && socket.writable) {
      onSent();
      if (!socket.write(piece)) return;
    }
  };
  socket.on('drain', more);
  more();
}

/** A packet from before the keys (RFC 4253 section 6): its length and padding make a multiple of eight. */
function plainPacket(type: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const fields = parts.map((part) =>
    typeof part === 'string' ? Buffer.concat([uint32(part.length), Buffer.from(part)]) : part,
  );
  const payload = Buffer.concat([Buffer.from([type]), ...fields]);
  const padding = 16 - ((payload.length + 5) % 8);
  return Buffer.concat([uint32(payload.length + 1 + padding), Buffer.from([padding]), payload, Buffer.alloc(padding)]);
}

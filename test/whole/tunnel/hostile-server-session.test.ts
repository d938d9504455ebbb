import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { after, describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import ssh2, { type Connection, type ServerChannel } from '#ssh2';
import { startSshd } from '../../support/sshd.ts';
import type { TestTunnel } from '../../support/tunnel.ts';
import { until } from '../../support/until.ts';
import { startBlackHole } from '../../support/black-hole.ts';
import { sendPayload, startFakeServer, startFakeSsh, uint32 } from '../../support/fake-server.ts';
import { startGranting } from '../../support/granting-server.ts';
import { assertHarmless, assertRetried, NASTY, startAt } from '../../support/hostile.ts';

const sshd = await startSshd();
after(() => sshd.stop());

describe('a server that breaks the rules', { concurrency: 6 }, () => {
  test('refuses channels that were not asked for', async (t) => {
    const answers: string[] = [];
    const { tunnel, connection } = await startGranting(t, sshd);
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

  for (const [what, ident, onTcpip] of [
    ['leads the test of a listener elsewhere', 'sshd_of_another_kind', (accept: () => ServerChannel) => accept()],
    ['does not answer the test of a listener', 'OpenSSH_99', () => {}],
    [
      'answers the test of a listener with a flood',
      'sshd_of_another_kind',
      (accept: () => ServerChannel) => {
        const channel = accept().on('error', () => {});
        for (let written = 0; written < 8; written++) channel.write(Buffer.alloc(1_000_000));
      },
    ],
  ] as const) {
    test(`has its tunnel, unverified, when it ${what}`, async (t) => {
      const { tunnel } = await startGranting(t, sshd, {}, null, ident, onTcpip);
      const [forward] = tunnel.state().forwards;
      assert.deepEqual([forward?.state, forward?.verified], ['up', 'unknown']);
      assertHarmless(tunnel);
    });
  }

  for (const [who, originator] of [
    ['visitors', '192.0.2.1'],
    ['visitors who may bring the words of a test', '127.0.0.1'],
  ] as const)
    test(`is bounded when it floods with ${who}`, (t) => flood(t, originator));

  async function flood(t: TestContext, originator: string): Promise<void> {
    const hole = await startBlackHole(t);
    const { tunnel, connection } = await startGranting(
      t,
      sshd,
      { connectTimeoutMs: 600_000 },
      hole.port,
      'sshd_of_another_kind',
      // The words of this test never come, and are waited for long after it.
      (accept) => void accept(),
    );
    const { port } = tunnel.spec.forwards[0]!.listen as { port: number };
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    // A few are examined first, as there must be room for a test: their channels are opened, and closed again.
    let turnedAway = 0;
    const open = () =>
      connection().forwardOut('localhost', port, originator, 1, (error, channel) => {
        if (error) turnedAway += 1;
        else channel.resume().once('close', () => (turnedAway += 1));
      });
    for (let visitor = 0; visitor < 1500; visitor++) open();
    const rejected = () => tunnel.state().forwards[0]?.counters.refusedConnections;
    const timeoutMs = 180_000;
    await until(() => rejected() === 1500 - 1024, {
      timeoutMs,
      what: () => `476 visitors rejected, not ${rejected()}`,
    });
    await until(() => turnedAway >= 1500 - 1024, { timeoutMs, what: () => `refusals, not ${turnedAway}` });
    assert.equal(tunnel.state().phase, 'up');
    const told = tunnel.lines.filter((line) => String(line['msg']).includes('visitor rejected'));
    assert.ok(told.length >= 1 && told.length <= 2, `${told.length} lines for ${turnedAway} visitors`);
    await tunnel.stop();
    assert.deepEqual(warnings, [], 'Node warns of listeners that pile up');
  }

  test('prints texts with nothing raw when they hold control characters', async (t) => {
    const { tunnel, connection, server } = await startGranting(t, sshd, {}, null, 'x_\u001b[31m_\u0007');
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
      await assertRetried(await startAt(t, sshd, server.port), server, 'handshake-failed', message);
    });

    test(`disconnects in the authentication ${title}`, async (t) => {
      const server = await startFakeSsh(t, sshd, (connection, socket) =>
        connection.on('authentication', () => bye(connection, socket)),
      );
      await assertRetried(await startAt(t, sshd, server.port), server, 'handshake-failed', message);
    });

    test(`disconnects when it is asked to listen ${title}`, async (t) => {
      const server = await startFakeSsh(t, sshd, (connection, socket) => {
        connection.on('authentication', (attempt) => attempt.accept());
        connection.on('request', () => bye(connection, socket));
      });
      const tunnel = await startAt(t, sshd, server.port, { serverAliveIntervalMs: 0 });
      await assertRetried(tunnel, server, 'disconnected', message);
    });

    test(`disconnects when it is up ${title}`, async (t) => {
      const { tunnel, connection, server } = await startGranting(t, sshd, { serverAliveIntervalMs: 0 });
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
  test('ignores announced keys when they are no keys', async (t) => {
    const { tunnel, connection } = await startGranting(t, sshd, { verify: 'off' }, null, 'OpenSSH_9.9');
    announce(connection(), 'junk', '', NASTY);
    announce(connection());
    await wait(200);
    await assertNothingLearnt(tunnel);
    assert.equal(tunnel.state().phase, 'up');
  });

  test('leaves the server when a message breaks off', async (t) => {
    const { tunnel, connection, server } = await startGranting(t, sshd, { verify: 'off' }, null, 'OpenSSH_9.9');
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
    test(`leaves the server when it shows another server's key, ${title}`, async (t) => {
      const anotherKey = ssh2.utils.parseKey(readFileSync(sshd.clientKey));
      if (anotherKey instanceof Error) throw anotherKey;
      const { tunnel, connection } = await startGranting(t, sshd, { verify: 'off' }, null, 'OpenSSH_9.9');
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

async function assertNothingLearnt(tunnel: TestTunnel): Promise<void> {
  const file = tunnel.spec.userKnownHostsFiles[0] ?? '';
  assert.equal(readFileSync(file, 'utf8'), sshd.knownHostsLine('127.0.0.1', tunnel.spec.port));
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

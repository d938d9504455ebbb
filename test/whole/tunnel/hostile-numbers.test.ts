import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, describe, test, type TestContext } from 'node:test';
import type { Connection, ServerChannel } from 'ssh2';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { startNeverReads } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { sendPayload, startFakeSsh, uint32 } from '../../support/fake-server.ts';
import { startGranting, type Granting } from '../../support/granting-server.ts';
import { assertHarmless, assertRetried, startAt } from '../../support/hostile.ts';

const sshd = await startSshd();
after(() => sshd.stop());

/** Numbers of messages (RFC 4250 section 4.1.2). */
const SERVICE_ACCEPT = 6;
const USERAUTH_FAILURE = 51;
const USERAUTH_SUCCESS = 52;
const USERAUTH_BANNER = 53;
const GLOBAL_REQUEST = 80;
const OPEN = 90;
const CONFIRMATION = 91;
const OPEN_FAILURE = 92;
const WINDOW_ADJUST = 93;
const DATA = 94;
const EXTENDED_DATA = 95;
const EOF = 96;

describe('a server whose numbers cannot be is left at once, and why is said', { concurrency: 6 }, () => {
  const cases: readonly [title: string, attack: (world: Attacked) => unknown, message: RegExp][] = [
    ['a channel without room for a packet', ({ open }) => open({ packet: 0 }), /accepts no packet above 0 bytes/],
    ['a channel for single bytes', ({ open }) => open({ packet: 1 }), /accepts no packet above 1 bytes/],
    ['one channel, twice', ({ open }) => [open({}), open({})], /opens its channel 900 a second time/],
    ['data for a channel that never was', ({ send }) => send(DATA, uint32(77), 'x'), /channel 77, which never existed/],
    [
      'a channel of the highest number',
      ({ send }) => send(EOF, uint32(0xffff_ffff)),
      /channel 4294967295, which never/,
    ],
    [
      'a window beyond 4 GiB',
      async ({ visitor, send }) => send(WINDOW_ADJUST, uint32((await visitor()).id), uint32(0xffff_ffff)),
      /opens the window of a channel beyond 4 GiB/,
    ],
    [
      'a packet above what it was told',
      async ({ visitor, send }) => send(DATA, uint32((await visitor()).id), 'x'.repeat(40_000)),
      /sends 40000 bytes in one packet/,
    ],
    [
      'data beyond the window',
      async ({ visitor, send }) => {
        const { id } = await visitor();
        for (let sent = 0; sent < 24 << 20; sent += 1 << 15) send(DATA, uint32(id), 'x'.repeat(1 << 15));
      },
      /sends \d+ bytes beyond the window of a channel/,
    ],
    [
      'an answer that nobody waits for',
      ({ send }) => send(CONFIRMATION, uint32(0), uint32(1), uint32(1 << 20), uint32(1 << 15)),
      /answers for channel 0, which waits for no answer|channel 0, which never existed/,
    ],
    ['a refusal that nobody waits for', ({ send }) => send(OPEN_FAILURE, uint32(9), uint32(1), 'no', ''), /channel 9/],
    ['another login', ({ send }) => send(USERAUTH_SUCCESS), /answers a login that was not requested/],
    ['another start of the login', ({ send }) => send(SERVICE_ACCEPT, 'ssh-userauth'), /login a second time/],
    ['half a message', ({ send }) => send(OPEN, 'forwarded-tcpip', uint32(1)), /Malformed CHANNEL_OPEN/],
    [
      'questions in the middle of an exchange of keys that it does not finish',
      ({ connection, server, send }) => {
        server.sockets.at(-1)!.removeAllListeners('data').resume();
        (connection() as unknown as ServerSide)._protocol.rekey();
        flood(() => send(GLOBAL_REQUEST, 'who are you?', 1), 5000);
      },
      /sends requests without end, and does not read the answers/,
    ],
    [
      'announcements of host keys',
      ({ send }) => {
        for (let sent = 0; sent <= 100; sent++) send(GLOBAL_REQUEST, 'hostkeys-00@openssh.com', 0);
      },
      /announces its host keys without end/,
    ],
    [
      'announcements of more host keys than a server has',
      ({ send }) => {
        const keys = Array.from({ length: 17 }, () => 'key');
        for (let sent = 0; sent <= 100; sent++) send(GLOBAL_REQUEST, 'hostkeys-00@openssh.com', 0, ...keys);
      },
      /announces its host keys without end/,
    ],
  ];
  for (const [title, attack, message] of cases) {
    test(title, async (t) => {
      const target = await startNeverReads();
      t.after(() => target.close());
      const world = await startAttacked(t, {}, target.port);
      await attack(world);
      const { failure } = await world.tunnel.untilFailure('disconnected');
      assert.match(failure?.message ?? '', message);
      assert.match(failure?.message ?? '', /^the server broke the SSH protocol: /);
      await until(() => world.server.accepted() === 2, { what: 'the next connection' });
      await world.tunnel.untilPhase('up');
      await until(() => world.server.open() === 1, { what: 'the end of the first connection' });
    });
  }

  test('is left when a port is above 65535', async (t) => {
    const server = await startFakeSsh(t, sshd, (connection) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', (accept) => (accept as (port: number) => void)(70_000));
    });
    const at = (port: number) => ({ type: 'tcp', host: 'localhost', port }) as const;
    const forwards = [{ kind: 'remote', listen: at(0), target: at(1) }] as const;
    const tunnel = await startAt(t, sshd, server.port, { forwards });
    await assertRetried(tunnel, server, 'disconnected', /says that it listens on port 70000/);
  });

  test('is left when a channel has no room for a packet', async (t) => {
    const port = await freePort();
    const at = (of: number) => ({ type: 'tcp', host: '127.0.0.1', port: of }) as const;
    const forwards = [{ kind: 'local', listen: at(port), target: at(1) }] as const;
    const world = await startAttacked(t, { forwards });
    const { _protocol: protocol } = world.connection() as unknown as ServerSide;
    protocol._handlers.CHANNEL_OPEN = (_self, { sender }) =>
      world.send(CONFIRMATION, uint32(sender), uint32(1), uint32(1 << 20), uint32(0));
    const visitor = connect(port, '127.0.0.1').on('error', () => {});
    visitor.write('hello');
    const { failure } = await world.tunnel.untilFailure('disconnected');
    assert.match(failure?.message ?? '', /accepts no packet above 0 bytes/);
    await until(() => visitor.closed, { what: 'the end of the visitor' });
  });
});

test('is left as well when it is a jump whose channel has no room for a packet', async (t) => {
  const gate = await startFakeSsh(t, sshd, (connection) => {
    connection.on('authentication', (attempt) => attempt.accept());
    const { _protocol: protocol } = connection as unknown as ServerSide;
    protocol._handlers.CHANNEL_OPEN = (_self, { sender }) =>
      sendPayload(connection, CONFIRMATION, uint32(sender), uint32(1), uint32(1 << 20), uint32(0));
  });
  const tunnel = await startAt(t, sshd, sshd.port, { jumps: [specFor(sshd, [[0, 1]], { port: gate.port })] });
  await until(() => tunnel.state().failure !== null, { what: 'a failure' });
  assert.match(tunnel.state().failure?.message ?? '', /accepts no packet above 0 bytes/);
});

describe('what ssh lets pass is let pass', { concurrency: 4 }, () => {
  const cases: readonly [title: string, attack: (world: Attacked, id: number) => void][] = [
    [
      'a second stream where no program runs',
      ({ send }, id) => flood(() => send(EXTENDED_DATA, uint32(id), uint32(1), BLOCK)),
    ],
    ['data behind the end', ({ send }, id) => [send(EOF, uint32(id)), flood(() => send(DATA, uint32(id), BLOCK))]],
    [
      'a second stream behind the end',
      ({ send }, id) => [send(EOF, uint32(id)), flood(() => send(EXTENDED_DATA, uint32(id), uint32(1), BLOCK))],
    ],
    ['a visitor from a port above all ports', ({ open }) => open({ port: 70_000 })],
  ];
  for (const [title, attack] of cases) {
    test(title, async (t) => {
      const world = await startAttacked(t);
      const { id } = await world.visitor();
      attack(world, id);
      const { channel } = await world.visitor();
      channel.write('still here');
      assert.equal(String((await once(channel, 'data'))[0]), 'still here');
      assert.deepEqual([world.tunnel.state().phase, world.server.accepted()], ['up', 1]);
      assert.deepEqual(
        world.tunnel.lines.filter((line) => line['code'] === 'internal'),
        [],
      );
      assertHarmless(world.tunnel);
    });
  }
});

describe('a server that goes wrong in the login', { concurrency: 4 }, () => {
  const list = (bytes: number) => Buffer.concat([uint32(bytes), Buffer.from('x')]);
  for (const [title, attack, message] of [
    [
      'a refusal that is cut off',
      (send) => send(USERAUTH_FAILURE, list(9), 0),
      /list of authentication methods is malformed/,
    ],
    ['half a refusal', (send) => send(USERAUTH_FAILURE, list(9)), /Malformed USERAUTH_FAILURE|list of authentication/],
    ['a request', (send) => send(GLOBAL_REQUEST, 'x', 1), /sends a request before the login/],
    ['a visitor', (send) => send(OPEN, 'session', uint32(1), uint32(1), uint32(1 << 15)), /before the login/],
    ['banners', (send) => flood(() => send(USERAUTH_BANNER, 'bla', ''), 500), /sends banners without end/],
  ] as const satisfies readonly [string, (send: Attacked['send']) => void, RegExp][]) {
    test(title, async (t) => {
      const server = await startFakeSsh(t, sshd, (connection) =>
        connection.on('authentication', () => attack((...parts) => sendPayload(connection, ...parts))),
      );
      const tunnel = await startAt(t, sshd, server.port);
      await assertRetried(tunnel, server, 'handshake-failed', message);
      const told = tunnel.lines.filter((line) => 'banner' in line);
      assert.ok(told.length <= 3 * server.accepted(), `${told.length} banners in the log`);
    });
  }
});

const BLOCK = 'x'.repeat(1 << 15);

function flood(send: () => void, times = 100): void {
  for (let sent = 0; sent < times; sent++) send();
}

interface Attacked extends Granting {
  send(...parts: Parameters<typeof sendPayload> extends [Connection, ...infer Parts] ? Parts : never): void;
  /** A visitor of the tunnel's listener, as the numbers say. */
  open(numbers: { readonly packet?: number; readonly port?: number }): void;
  /** One that is served. */
  visitor(): Promise<{ readonly channel: ServerChannel; readonly id: number }>;
}

async function startAttacked(
  t: TestContext,
  changes: Partial<TunnelSpec> = {},
  target: number | null = null,
): Promise<Attacked> {
  const granting = await startGranting(t, sshd, { verify: 'off', ...changes }, target, 'OpenSSH_9.9');
  const connection = granting.connection();
  const listen = granting.tunnel.spec.forwards[0]?.listen;
  const port = listen?.type === 'tcp' ? listen.port : 0;
  const send: Attacked['send'] = (...parts) => sendPayload(connection, ...parts);
  return {
    ...granting,
    send,
    open: ({ packet = 1 << 15, port: from = 1 }) =>
      send(
        OPEN,
        'forwarded-tcpip',
        uint32(900),
        uint32(1 << 20),
        uint32(packet),
        'localhost',
        uint32(port),
        '192.0.2.1',
        uint32(from),
      ),
    visitor: () =>
      new Promise((resolve, reject) => {
        connection.forwardOut('localhost', port, '192.0.2.1', 1, (error, channel) => {
          if (error) reject(error);
          else resolve({ channel, id: (channel as unknown as { outgoing: { id: number } }).outgoing.id });
        });
      }),
  };
}

/** Of ssh2's Connection: what it does with a channel that a client wants. */
interface ServerSide {
  readonly _protocol: {
    readonly _handlers: { CHANNEL_OPEN: (self: unknown, opening: { sender: number }) => void };
    rekey(): void;
  };
}

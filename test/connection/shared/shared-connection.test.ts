import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { createConnectionPool } from '../../../src/connection/shared/connection-pool.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { listen } from '../../support/listen.ts';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, testTurns } from '../../support/tunnel.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { type OtherServer, startAsyncssh, startDropbear } from '../../support/other-servers.ts';
import { socks } from '../../support/socks-client.ts';

/** Only the first connection has its turn in good time. */
const ONE = { count: 1, windowMs: 3_600_000 };

describe('tunnels with the same login whose own turn comes late', () => {
  test('share one connection, and each visitor comes out at the tunnel that asked for the listener', async (t) => {
    const { sshd, startThree } = await setUp(t);
    const [a, b, c] = await startThree();
    assert.equal(sshd.sessions().length, 1);
    assert.deepEqual(
      [a, b, c].map(({ tunnel }) => tunnel.state().carrier),
      [null, 'a', 'a'],
    );
    for (const { name, port, tunnel } of [a, b, c]) {
      assert.equal(tunnel.state().forwards[0]?.verified, 'yes');
      assert.equal(tunnel.state().sourcePort, a.tunnel.state().sourcePort);
      assert.equal(await greeting(port), name);
    }
  });

  for (const [name, startServer] of [
    ['OpenSSH', startOpenssh],
    ['AsyncSSH', startAsyncssh],
  ] as const)
    test(`end one by one at ${name}: give back what is theirs, and what is the others’ goes on`, async (t) => {
      const { startThree } = await setUp(t, startServer);
      const all = await startThree();
      const guests = await Promise.all(all.map(({ port }) => stay(port)));
      for (const [index, gone] of all.entries()) {
        await gone.tunnel.stop();
        await until(() => guests[index]?.cut(), { what: `the visitor of ${gone.name} to be cut` });
        await until(() => isRefused(gone.port), { what: `the listener of ${gone.name} to be given back` });
        for (const guest of guests.slice(index + 1)) assert.equal(await guest.say('still there'), 'still there');
        for (const { name: own, port, tunnel } of all.slice(index + 1)) {
          assert.equal(await greeting(port), own);
          assert.equal(tunnel.state().failure, null);
        }
      }
    });

  test('carry every kind of forward', async (t) => {
    const { dir, start, startTarget } = await setUp(t);
    const a = await start('a');
    await a.tunnel.untilPhase('up');
    const [local, dynamic] = [await freePort(), await freePort()];
    const path = join(dir, 'listener');
    const target = { type: 'tcp', host: '127.0.0.1', port: await startTarget('b') } as const;
    const b = await start('b', {
      verify: 'off',
      forwards: [
        { kind: 'remote', listen: { type: 'tcp', host: '127.0.0.1', port: 0 }, target },
        { kind: 'remote', listen: { type: 'unix', path }, target },
        { kind: 'local', listen: { type: 'tcp', host: '127.0.0.1', port: local }, target },
        { kind: 'dynamic', listen: { type: 'tcp', host: '127.0.0.1', port: dynamic }, target: { type: 'socks' } },
      ],
    });
    await b.tunnel.untilPhase('up');
    assert.equal(b.tunnel.state().carrier, 'a');
    const chosen = b.tunnel.state().forwards[0]?.boundPort ?? 0;
    assert.equal(await greeting(chosen), 'b');
    assert.equal(await greeting(path), 'b');
    assert.equal(await greeting(local), 'b');
    const { socket } = await socks(dynamic, 5, '127.0.0.1', target.port);
    assert.equal(await firstLine(socket), 'b');
    await b.tunnel.stop();
    for (const place of [chosen, path, local, dynamic])
      await until(() => isRefused(place), { what: `${place} to be closed` });
    assert.equal(await greeting(a.port), 'a');
  });

  test('go on when one of them is refused a listener, which gets it when it comes free', async (t) => {
    const { sshd, start } = await setUp(t);
    const a = await start('a');
    await a.tunnel.untilPhase('up');
    const port = await freePort();
    const holder = createServer();
    await listen(holder, '127.0.0.1', port);
    // A server grants one of the two loopback addresses.
    const other = createServer();
    await listen(other, '::1', port).catch(() => {});
    const b = await start('b', {}, port);
    await b.tunnel.untilFailure('forward-refused');
    assert.equal(b.tunnel.state().carrier, 'a');
    assert.equal(a.tunnel.state().phase, 'up');
    for (const server of [holder, other]) server.close();
    await b.tunnel.untilPhase('up');
    assert.equal(await greeting(port), 'b');
    assert.equal(sshd.sessions().length, 1);
  });

  test('want no turn of their own when they share', async (t) => {
    const { sshd, start, startThree, untilItsTurn } = await setUp(t);
    const all = await startThree();
    // One that has to dial has its turn after those that have asked before.
    const last = await start('last', { compression: true });
    await untilItsTurn(() => last.tunnel.state().phase === 'up');
    assert.equal(sshd.log().match(/Connection from/g)?.length, 2);
    for (const { tunnel } of all) {
      const { phase, sourcePort } = tunnel.state();
      assert.deepEqual([phase, sourcePort], ['up', all[0].tunnel.state().sourcePort]);
    }
  });

  test('come back together when it is lost', async (t) => {
    const { sshd, startThree, untilItsTurn } = await setUp(t);
    const all = await startThree();
    sshd.killSessions();
    for (const { tunnel } of all) await until(() => tunnel.state().phase !== 'up', { what: 'the loss' });
    await untilItsTurn(() => all.some(({ tunnel }) => tunnel.state().phase === 'up'));
    for (const { tunnel } of all) await tunnel.untilPhase('up');
    assert.equal(sshd.sessions().length, 1);
    for (const { name, port } of all) assert.equal(await greeting(port), name);
  });

  test('do not share when the server is Dropbear, which never gives a listener back', async (t) => {
    if (!mayBuildNetworks(t)) return;
    const { start } = await setUp(t, startDropbear);
    const a = await start('a');
    await a.tunnel.untilPhase('up');
    const b = await start('b');
    await until(() => b.tunnel.state().retryAt !== null, { what: 'the wait for its turn' });
    assert.deepEqual([b.tunnel.state().phase, b.tunnel.state().carrier], ['waiting', null]);
  });

  test('do not share when one of them logs in otherwise', async (t) => {
    const { start } = await setUp(t);
    const a = await start('a');
    await a.tunnel.untilPhase('up');
    const other = await start('other', { compression: true });
    await until(() => other.tunnel.state().retryAt !== null, { what: 'the wait for its turn' });
    assert.deepEqual([other.tunnel.state().phase, other.tunnel.state().carrier], ['waiting', null]);
  });
});

test('have connections of their own when nothing keeps them from it', async (t) => {
  const { sshd, start } = await setUp(t);
  const all = [];
  for (const name of ['a', 'b', 'c']) all.push(await start(name, { connectLimit: null }));
  for (const { tunnel } of all) await tunnel.untilPhase('up');
  assert.equal(sshd.sessions().length, 3);
  assert.deepEqual(
    all.map(({ tunnel }) => tunnel.state().carrier),
    [null, null, null],
  );
});

async function setUp<Server extends OtherServer = TestSshd>(
  t: TestContext,
  startServer: (t: TestContext) => Promise<Server> = startOpenssh as never,
) {
  const sshd = await startServer(t);
  const clock = skippingClock();
  const turns = testTurns(clock);
  const connections = createConnectionPool(clock);
  /** It says its name, and then repeats what it hears. */
  const startTarget = async (name: string) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(`${name}\n`);
      socket.pipe(socket);
    });
    t.after(() => server.close());
    return await listen(server);
  };
  const start = async (name: string, changes: Partial<TunnelSpec> = {}, listenOn?: number) => {
    const port = listenOn ?? (await freePort());
    const target = await startTarget(name);
    const spec = specFor(sshd, [[port, target]], { connectLimit: ONE, name, ...changes });
    return { name, port, tunnel: startTunnel(t, spec, { clock, connections, device: { turns } }) };
  };
  /** The first one opens the connection. */
  const startThree = async (changes: Partial<TunnelSpec> = {}) => {
    const first = await start('a', changes);
    await first.tunnel.untilPhase('up');
    const others = [await start('b', changes), await start('c', changes)] as const;
    for (const { tunnel } of others) await tunnel.untilPhase('up');
    return [first, ...others] as const;
  };
  /** The first turn that comes after the window of ONE comes now. */
  const untilItsTurn = async (came: () => boolean) => {
    await until(() => clock.skip(3_000_000, 4_000_000) > 0, { what: 'a wait for a turn' });
    await until(came, { what: 'the next connection' });
  };
  return { sshd, start, startThree, startTarget, untilItsTurn, dir: await tempDir(t) };
}

async function startOpenssh(t: TestContext): Promise<TestSshd> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  return sshd;
}

function to(place: number | string): Socket {
  const socket = typeof place === 'number' ? connect(place, '127.0.0.1') : connect(place);
  socket.on('error', () => {});
  return socket;
}

async function greeting(place: number | string): Promise<string> {
  return await firstLine(to(place));
}

async function firstLine(socket: Socket): Promise<string> {
  const [line] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return line.toString().trim();
}

/** A visitor who stays. */
async function stay(port: number) {
  const socket = to(port);
  let heard = '';
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  await until(() => heard !== '', { what: `a word at ${port}` });
  return {
    cut: () => socket.closed,
    say: async (words: string) => {
      heard = '';
      socket.write(words);
      await until(() => heard === words || socket.closed, { what: `${words} at ${port}` });
      return heard;
    },
  };
}

function isRefused(place: number | string): Promise<boolean> {
  const socket = to(place);
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}

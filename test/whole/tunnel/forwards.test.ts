import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import type { ForwardSpec, TunnelSpec } from '../../../src/model/spec.ts';
import { startEcho } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { sendPayload, startFakeSsh } from '../../support/fake-server.ts';
import { visit } from '../../support/visit.ts';

describe('listeners', { concurrency: 4 }, () => {
  test('serves visitors at the port that the server chooses when the port is 0', async (t) => {
    const { tunnel } = await start(t, [0]);
    const state = await tunnel.untilPhase('up');
    const port = state.forwards[0]?.boundPort ?? 0;
    assert.ok(port > 0);
    assert.equal(await visit(port, 'hello'), 'hello');
    assert.ok(tunnel.lines.some((line) => line['listening'] === `127.0.0.1:${port}`));
    await tunnel.stop();
    await assert.rejects(visit(port, 'anybody?'), { code: 'ECONNREFUSED' });
    assert.equal(tunnel.state().forwards[0]?.boundPort, null);
  });

  test('does not mix ports up when the server chooses two', async (t) => {
    const sshd = await server(t);
    const names = ['one', 'two'];
    const targets = await Promise.all(names.map((name) => startNamed(t, name)));
    const tunnel = startTunnel(
      t,
      specFor(
        sshd,
        targets.map((port) => [0, port]),
      ),
    );
    const { forwards } = await tunnel.untilPhase('up');
    for (const [index, name] of names.entries()) assert.equal(await visit(forwards[index]?.boundPort ?? 0, ''), name);
  });

  test('serves several listeners, on TCP and on a Unix socket', async (t) => {
    const sshd = await server(t);
    const path = join(sshd.dir, 'forwarded.sock');
    const [one, two] = [await freePort(), await freePort()];
    const { tunnel } = await start(t, [one, two], {}, sshd, (forwards) => [
      ...forwards,
      { kind: 'remote', listen: { type: 'unix', path }, target: forwards[0]!.target },
    ]);
    await tunnel.untilPhase('up');
    for (const port of [one, two]) assert.equal(await visit(port, `at ${port}`), `at ${port}`);
    assert.equal(await text(connect({ path, allowHalfOpen: true }).end('at the socket')), 'at the socket');
    await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections === 0), {
      what: 'the ends',
    });
    assert.deepEqual(
      tunnel.state().forwards.map(({ state, counters }) => [state, counters.totalConnections]),
      [
        ['up', 1],
        ['up', 1],
        ['up', 1],
      ],
    );
  });
});

describe('a listener that is granted', { concurrency: 4 }, () => {
  test('is seen to lead here, and the target hears only that it is looked after', async (t) => {
    let guests = 0;
    // Who only looks does not read, and what is unread at a close is reset.
    const target = createServer((socket) => socket.on('error', () => {}).end(String(++guests)));
    const port = await listen(target);
    t.after(() => target.close());
    const listener = await freePort();
    const spec = specFor(await server(t), [[listener, port]]);
    const tunnel = startTunnel(t, spec);
    await tunnel.untilPhase('up');
    await until(() => guests === 1, { what: 'the look at the target' });
    const [forward] = tunnel.state().forwards;
    assert.deepEqual([forward?.verified, forward?.counters.totalConnections], ['yes', 0]);
    assert.equal(await visit(listener, ''), '2');
  });

  test('is up but unverified when the server opens no connections for us', async (t) => {
    const sshd = await server(t, { config: ['AllowTcpForwarding remote'] });
    const { tunnel } = await start(t, [await freePort()], {}, sshd);
    const { forwards } = await tunnel.untilPhase('up');
    assert.deepEqual([forwards[0]?.state, forwards[0]?.verified], ['up', 'unknown']);
  });
});

describe('a listener that is refused', { concurrency: 4 }, () => {
  test('keeps the tunnel from being up, while the others serve; it is asked for again on the same connection', async (t) => {
    const sshd = await server(t);
    const [free, taken] = [await freePort(), await freePort()];
    const occupant = await occupy(t, taken);
    const { tunnel } = await start(t, [free, taken], {}, sshd);
    await tunnel.untilFailure('forward-refused');
    assert.match(
      tunnel.state().failure?.message ?? '',
      new RegExp(`refused to listen on localhost:${taken}: another program listens there`),
    );
    await until(() => refusals(tunnel) >= 2, { what: 'a second request' });
    assert.deepEqual(states(tunnel), ['up', 'refused']);
    assert.equal(tunnel.state().forwards[1]?.refusal, 'in-use');
    assert.equal(tunnel.state().phase, 'forwarding');
    assert.equal(await visit(free, 'meanwhile'), 'meanwhile');

    occupant.close();
    await tunnel.untilPhase('up');
    assert.deepEqual(states(tunnel), ['up', 'up']);
    assert.equal(await visit(taken, 'mine'), 'mine');
    assert.equal(logins(sshd), 1);
    assert.equal(tunnel.state().attempts, 0);
  });

  test('is missing from a tunnel that is up until it is granted when exitOnForwardFailure is no', async (t) => {
    const sshd = await server(t);
    const [free, taken] = [await freePort(), await freePort()];
    const occupant = await occupy(t, taken);
    const { tunnel } = await start(t, [taken, free], { exitOnForwardFailure: false }, sshd);
    const state = await tunnel.untilPhase('up');
    assert.equal(state.failure?.code, 'forward-refused');
    assert.deepEqual(states(tunnel), ['refused', 'up']);
    occupant.close();
    await until(() => states(tunnel)[0] === 'up', { what: 'the grant' });
    assert.ok(tunnel.lines.some((line) => line['msg'] === `the server listens on localhost:${taken} now`));
    assert.equal(await visit(taken, 'mine'), 'mine');
    assert.equal(logins(sshd), 1);
  });

  test('is reported once for each, however long it lasts', async (t) => {
    const taken = [await freePort(), await freePort()];
    for (const port of taken) await occupy(t, port);
    const { tunnel } = await start(t, taken);
    await until(() => refusals(tunnel) >= 6, { what: 'three requests for each' });
    const told = tunnel.lines.filter((line) => line['code'] === 'forward-refused' && line['level'] === 40);
    assert.equal(told.length, 2);
  });

  test('is alone forbidden when permitlisten has the others', async (t) => {
    const [allowed, forbidden] = [await freePort(), await freePort()];
    const sshd = await server(t, { keyOptions: `restrict,port-forwarding,permitlisten="localhost:${allowed}"` });
    const { tunnel } = await start(t, [allowed, forbidden], { exitOnForwardFailure: false }, sshd);
    await tunnel.untilPhase('up');
    assert.deepEqual(states(tunnel), ['up', 'refused']);
    assert.equal(tunnel.state().forwards[1]?.refusal, 'forbidden');
    assert.equal(await visit(allowed, 'allowed'), 'allowed');
    assert.match(tunnel.state().failure?.hint ?? '', /permitlisten/);
  });

  test('is partly granted when another program has 127.0.0.1 there', async (t) => {
    const taken = await freePort();
    const occupant = createServer((socket) => socket.end('somebody else'));
    await listen(occupant, '127.0.0.1', taken);
    t.after(() => occupant.close());
    const { tunnel } = await start(t, [taken]);
    const { forwards, failure } = await tunnel.untilFailure('forward-refused');
    assert.deepEqual([forwards[0]?.state, forwards[0]?.refusal], ['refused', 'in-use']);
    // Without ::1 the server refuses by itself.
    assert.match(failure?.message ?? '', /127\.0\.0\.1 belongs to another program|another program listens there/);
    await until(() => tunnel.state().forwards[0]?.state === 'refused', { what: 'the refusal' });
    assert.ok(!tunnel.phases.includes('up'));
    occupant.close();
    await tunnel.untilPhase('up');
    assert.equal(tunnel.state().forwards[0]?.verified, 'yes');
    assert.equal(await visit(taken, 'mine'), 'mine');
  });

  test('comes back when a dead connection left its file behind and the server may replace it, and names that option when not', async (t) => {
    for (const unlink of [false, true]) {
      const sshd = await server(t, { config: unlink ? ['StreamLocalBindUnlink yes'] : [] });
      const path = join(sshd.dir, 'forward.sock');
      const { tunnel } = await start(t, [0], {}, sshd, ([forward]) => [
        { ...forward!, listen: { type: 'unix', path } },
      ]);
      await tunnel.untilPhase('up');
      sshd.killSessions();
      await tunnel.untilPhase('waiting');
      if (!unlink) {
        const { failure } = await tunnel.untilFailure('forward-refused');
        assert.match(failure?.message ?? '', /forward\.sock: the file may be left over.*StreamLocalBindUnlink yes/);
        rmSync(path);
      }
      await tunnel.untilPhase('up');
      await tunnel.stop();
    }
  });

  test('is said to be one of our own dead connections when it may be', async (t) => {
    const sshd = await server(t);
    const port = await freePort();
    const { tunnel } = await start(t, [port], {}, sshd);
    await tunnel.untilPhase('up');
    await sshd.kill();
    const occupant = await occupy(t, port);
    await sshd.restart();
    const { failure } = await tunnel.untilFailure('forward-refused');
    assert.match(failure?.message ?? '', /most likely a dead connection of this tunnel/);
    occupant.close();
    await tunnel.untilPhase('up');
  });

  test('is pending again, not refused, when the connection is lost', async (t) => {
    const sshd = await server(t);
    const taken = await freePort();
    await occupy(t, taken);
    const { tunnel } = await start(t, [taken], {}, sshd);
    await until(() => states(tunnel)[0] === 'refused', { what: 'the refusal' });
    await sshd.kill();
    await tunnel.untilFailure('connect-refused');
    assert.deepEqual(states(tunnel), ['pending']);
  });
});

describe('a server that leaves the question open', { concurrency: 4 }, () => {
  test('is given up after half a minute when it stays silent', async (t) => {
    const sshd = await server(t);
    let asked = false;
    let signs = 0;
    const fake = await startFakeSsh(t, sshd, (connection) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', () => void (asked = true));
      // Not before: between its NEWKEYS and ours, what is sent so would leave without encryption.
      connection.on('ready', () => {
        const alive = setInterval(() => {
          // RFC 4253 section 11.2: SSH_MSG_IGNORE.
          sendPayload(connection, 2, '');
          signs += 1;
        }, 20);
        connection.on('close', () => clearInterval(alive));
      });
    });
    const spec = specFor(sshd, [[await freePort(), 1]], { port: fake.port, serverAliveIntervalMs: 5000 });
    const clock = skippingClock();
    const tunnel = startTunnel(t, spec, { clock });
    await until(() => asked, { what: 'the question' });
    const [before, heard] = [clock.begun(30_000), signs];
    await until(() => signs > heard + 25, { what: 'signs of life' });
    assert.equal(clock.begun(30_000), before, 'they do not prolong the wait');
    assert.equal(tunnel.state().failure, null);
    assert.equal(clock.skip(30_000), 1);
    const { failure } = await tunnel.untilFailure('keepalive-lost');
    assert.equal(failure?.message, 'the server did not say within 30 s whether it listens');
    await until(() => fake.accepted() === 2, { what: 'the next attempt' });
  });

  test('is left when the server dies while it thinks', async (t) => {
    const sshd = await server(t);
    const fake = await startFakeSsh(t, sshd, (connection, socket) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', () => socket.resetAndDestroy());
    });
    const tunnel = startTunnel(t, specFor(sshd, [[await freePort(), 1]], { port: fake.port }));
    const { failure } = await tunnel.untilFailure('disconnected');
    assert.match(failure?.message ?? '', /reset/);
    assert.deepEqual(states(tunnel), ['pending']);
    await until(() => fake.accepted() === 2, { what: 'the next attempt' });
  });
});

function states(tunnel: TestTunnel): readonly string[] {
  return tunnel.state().forwards.map(({ state }) => state);
}

/** How often it was refused a listener, from its log. */
function refusals(tunnel: TestTunnel): number {
  return tunnel.lines.filter((line) => String(line['msg']).endsWith(' refused')).length;
}

function logins(sshd: TestSshd): number | undefined {
  return sshd.log().match(/Accepted publickey/g)?.length;
}

/** Somebody else has the port, on both addresses of localhost. */
async function occupy(t: TestContext, port: number): Promise<{ close(): void }> {
  const servers: Server[] = [];
  for (const host of ['127.0.0.1', '::1']) {
    const occupant = createServer();
    await listen(occupant, host, port);
    servers.push(occupant);
  }
  const close = () => {
    for (const occupant of servers) occupant.close();
  };
  t.after(close);
  return { close };
}

/** A target that says its name. */
async function startNamed(t: TestContext, name: string): Promise<number> {
  const target = createServer((socket) => socket.on('error', () => {}).end(name));
  t.after(() => target.close());
  return listen(target);
}

async function server(t: TestContext, options?: SshdOptions): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

/** A tunnel with these listeners, all of which lead to an echo. */
async function start(
  t: TestContext,
  ports: readonly number[],
  changes: Partial<TunnelSpec> = {},
  running?: TestSshd,
  more: (forwards: readonly ForwardSpec[]) => readonly ForwardSpec[] = (forwards) => forwards,
): Promise<{ sshd: TestSshd; tunnel: TestTunnel }> {
  const sshd = running ?? (await server(t));
  const echo = await startEcho();
  t.after(() => echo.close());
  const spec = specFor(
    sshd,
    ports.map((port) => [port, echo.port]),
    changes,
  );
  return { sshd, tunnel: startTunnel(t, { ...spec, forwards: more(spec.forwards) }) };
}

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import type { ForwardSpec, TunnelSpec } from '../../src/model/spec.ts';
import { startEcho } from '../support/echo.ts';
import { startRelay } from '../support/relay.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { startFakeServer, startFakeSsh } from '../support/fake-server.ts';
import { visit } from '../support/visit.ts';

describe('the life of a tunnel', { concurrency: 3 }, () => {
  test('comes up in order, carries bytes, and says what it is', async (t) => {
    const { sshd, port, tunnel } = await start(t);
    const state = await tunnel.untilPhase('up');
    assert.deepEqual(tunnel.phases, ['connecting', 'authenticating', 'forwarding', 'up']);
    assert.deepEqual([state.attempts, state.retryAt, state.failure], [0, null, null]);
    assert.ok(state.rttMs !== null && state.rttMs >= 0);
    assert.ok(state.lastUp !== null && state.lastUp === state.since);
    await sshd.waitForLog(new RegExp(`Accepted publickey for \\S+ from 127\\.0\\.0\\.1 port ${state.sourcePort} `));
    assert.equal(await visit(port, 'hello'), 'hello');
    await until(() => tunnel.state().forwards[0]?.counters.connections === 0, { what: 'the end of the visit' });
    const { totalConnections, bytesIn, bytesOut } = tunnel.state().forwards[0]?.counters ?? {};
    assert.deepEqual([totalConnections, bytesIn, bytesOut], [1, 5, 5]);
    const up = tunnel.lines.filter((line) => line['msg'] === 'tunnel is up');
    assert.deepEqual(
      up.map((line) => [line['server'], line['listening'], line['hostKeyAlgorithm']]),
      [[`${sshd.user}@127.0.0.1:${sshd.port}`, `localhost:${port}`, 'ssh-ed25519']],
    );
    assert.equal(up[0]?.['keyExchange'], state.algorithms?.keyExchange);
    assert.match(String(up[0]?.['keyExchange']), /^\w+.*-sha\d+/);
  });

  test('is up by the login where it has no forwards', async (t) => {
    const { tunnel } = await start(t, { forwards: [] });
    await tunnel.untilPhase('up');
    assert.deepEqual(tunnel.phases, ['connecting', 'authenticating', 'forwarding', 'up']);
  });

  test('is back at once when a session is killed, whatever reconnect.min says', async (t) => {
    const { sshd, port, tunnel } = await start(t, { reconnect: { minMs: 60_000, maxMs: 60_000 } });
    await tunnel.untilPhase('up');
    const { lastUp } = tunnel.state();
    sshd.killSessions();
    await until(() => tunnel.phases.includes('waiting'), { what: 'the loss' });
    assert.equal(tunnel.state().failure?.code, 'disconnected');
    await tunnel.untilPhase('up');
    assert.ok((tunnel.state().lastUp ?? 0) > (lastUp ?? 0));
    assert.deepEqual(tunnel.phases.slice(4), ['waiting', 'connecting', 'authenticating', 'forwarding', 'up']);
    assert.equal(await visit(port, 'again'), 'again');
  });

  test('comes back when the server was down', async (t) => {
    const { sshd, port, tunnel } = await start(t);
    await tunnel.untilPhase('up');
    await sshd.kill();
    const { failure, lastUp } = await tunnel.untilFailure('connect-refused');
    assert.match(failure?.message ?? '', new RegExp(`127\\.0\\.0\\.1:${sshd.port}: ECONNREFUSED`));
    assert.ok(lastUp !== null);
    await until(() => tunnel.state().attempts >= 2, { what: 'attempts that are counted' });
    assert.deepEqual(
      tunnel.state().forwards.map(({ state }) => state),
      ['pending'],
    );
    assert.deepEqual([tunnel.state().sourcePort, tunnel.state().rttMs], [null, null]);
    await sshd.restart();
    const state = await tunnel.untilPhase('up');
    assert.equal(state.attempts, 0);
    assert.equal(state.failure?.code, 'connect-refused', 'the last failure stays known');
    assert.equal(await visit(port, 'back'), 'back');
  });

  test('comes back when a cut path heals', async (t) => {
    const sshd = await server(t);
    const relay = await startRelay({ port: sshd.port });
    t.after(() => relay.close());
    const { tunnel } = await start(t, { port: relay.port }, sshd);
    await tunnel.untilPhase('up');
    relay.cut();
    await until(() => relay.accepted() === 2, { what: 'a second connection' });
    await tunnel.untilPhase('up');
    // A reset that comes while something is sent is told to the one who sends, and who reads then sees an end.
    assert.match(tunnel.state().failure?.message ?? '', /reset|the server closed the connection/);
  });

  test('promises to be heard of again, for the watchdog, in all that it does', async (t) => {
    const { sshd, tunnel } = await start(t, { serverAliveIntervalMs: 0 });
    const due = () => tunnel.dueBy() - performance.now();
    await tunnel.untilPhase('up');
    assert.ok(due() > 60_000, `${due()} ms`);
    await sshd.kill();
    await tunnel.untilPhase('waiting');
    assert.ok(due() > 25_000, `${due()} ms`);
  });
});

describe('the next attempt', { concurrency: 4 }, () => {
  for (const [what, slow] of [
    ['after a refusal', false],
    ['after a broken handshake, where the waits grow', true],
  ] as const) {
    test(`comes when it was announced: ${what}`, async (t) => {
      const sshd = await server(t);
      const refusing = await freePort();
      const closing = await startFakeServer(t, (socket) => socket.end());
      const port = slow ? closing.port : refusing;
      const { tunnel } = await start(t, { port, reconnect: { minMs: 300, maxMs: 60_000 } }, sshd);
      for (let attempt = 1; attempt <= 3; attempt++) {
        // While it knocks the old announcement stands.
        const announced = () => (tunnel.state().retryAt ?? 0) > performance.now() && tunnel.state().retryAt;
        let at = await until(() => tunnel.state().attempts === attempt && announced(), {
          what: `the announcement after attempt ${attempt}`,
        });
        assert.equal(tunnel.state().phase, 'waiting');
        // Whoever has to wait for a turn at the server announces that later time as soon as it is known.
        const attempted = () => {
          if (tunnel.state().attempts === attempt) at = announced() || at;
          return tunnel.state().attempts > attempt;
        };
        await until(attempted, { what: `attempt ${attempt + 1}` });
        // Timers may be early by their rounding; how late depends on the machine.
        assert.ok(
          performance.now() - at > -20 && performance.now() - at < 20_000,
          `${performance.now() - at} ms after the time announced`,
        );
      }
      assert.equal(tunnel.state().failure?.code, slow ? 'handshake-failed' : 'connect-refused');
    });
  }

  test('comes at once when "try now" cuts the wait short', async (t) => {
    const sshd = await server(t);
    await sshd.kill();
    const { tunnel } = await start(t, { reconnect: { minMs: 60_000, maxMs: 60_000 } }, sshd);
    await tunnel.untilPhase('waiting');
    await sshd.restart();
    tunnel.retryNow();
    await tunnel.untilPhase('up');
  });

  test('does not come when "try now" finds the tunnel up or on its way', async (t) => {
    const { sshd, tunnel } = await start(t);
    for (const phase of ['connecting', 'authenticating', 'forwarding', 'up'] as const) {
      await until(() => tunnel.phases.includes(phase), { what: phase });
      tunnel.retryNow();
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(tunnel.state().phase, 'up');
    assert.equal(sshd.log().match(/Accepted publickey/g)?.length, 1);
  });

  test('comes later and later when a server lets us in and throws us out at once', async (t) => {
    const sshd = await server(t);
    const logins: number[] = [];
    const flapping = await startFakeSsh(t, sshd, (connection) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('ready', () => {
        logins.push(performance.now());
        connection.end();
      });
    });
    const { tunnel } = await start(t, { port: flapping.port, reconnect: { minMs: 200, maxMs: 60_000 } }, sshd);
    await until(() => logins.length === 5, { what: 'five logins' });
    const waits = logins.slice(1).map((login, index) => login - (logins[index] ?? 0));
    // The first is at once (50 to 200 ms); then 200 to 400, doubling.
    for (const [index, least] of [50, 200, 400, 800].entries()) {
      assert.ok((waits[index] ?? 0) >= least - 5, `waits of ${waits.join(', ')} ms`);
    }
    const announced = tunnel.lines.flatMap((line) => (line['retryInSeconds'] as number | undefined) ?? []);
    assert.ok(announced.length >= 4, `announced ${announced.length} waits`);
    assert.deepEqual(
      announced,
      announced.toSorted((a, b) => a - b),
    );
    await tunnel.stop();
    await until(() => flapping.open() === 0, { what: 'the end of all connections' });
  });

  test('comes after a bug, which is `internal`, and logged with its stack', async (t) => {
    const sshd = await server(t);
    let left = 3;
    const spec = Object.defineProperty(specFor(sshd, [[await freePort(), 1]], FAST), 'hostKeyAlias', {
      get: () => {
        if (left-- > 0) throw new TypeError('poisoned');
        return null;
      },
    });
    const tunnel = startTunnel(t, spec);
    const { failure } = await tunnel.untilFailure('internal');
    assert.equal(failure?.message, 'poisoned');
    await tunnel.untilPhase('up');
    const told = tunnel.lines.filter((line) => line['code'] === 'internal');
    assert.match(JSON.stringify(told[0]?.['error']), /TypeError.*tunnel\.test/);
    assert.equal(told.length, 3);
    assert.ok(Number(told[2]?.['retryInSeconds']) >= 0.4, 'one that stays must not become a tight loop');
  });

  test('comes also when the hints have a bug, and the server is there', async (t) => {
    const sshd = await server(t);
    await sshd.kill();
    const ping = (): never => {
      throw new TypeError('poisoned');
    };
    const spec = specFor(sshd, [[await freePort(), 1]], { ...FAST, host: 'a..b', hostKeyAlias: 'x' });
    const tunnel = startTunnel(t, spec, { ping });
    await tunnel.untilFailure('internal');
    await until(() => tunnel.state().attempts >= 3, { what: 'further attempts' });
  });

  test('ends no tunnel when the service of one visitor has a bug', async (t) => {
    const { sshd, port, tunnel } = await start(t, {}, undefined, (target) =>
      Object.defineProperty(target, 'host', {
        get: () => {
          throw new TypeError('poisoned');
        },
      }),
    );
    await tunnel.untilPhase('up');
    const visitor = connect(port, '127.0.0.1');
    t.after(() => visitor.destroy());
    await until(() => /a bug: the connection of a visitor ended/.test(JSON.stringify(tunnel.lines)), {
      what: 'the bug',
    });
    assert.equal(tunnel.state().phase, 'up');
    assert.equal(sshd.log().match(/Accepted publickey/g)?.length, 1);
  });
});

const FAST: Partial<TunnelSpec> = { reconnect: { minMs: 100, maxMs: 1000 } };

async function server(t: TestContext, options?: SshdOptions): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

/** A tunnel to an echo. */
async function start(
  t: TestContext,
  changes: Partial<TunnelSpec> = {},
  running?: TestSshd,
  spoil: (target: ForwardSpec['target']) => unknown = () => {},
): Promise<{ sshd: TestSshd; port: number; tunnel: TestTunnel }> {
  const sshd = running ?? (await server(t));
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const spec = specFor(sshd, [[port, echo.port]], changes);
  for (const forward of spec.forwards) spoil(forward.target);
  return { sshd, port, tunnel: startTunnel(t, spec) };
}

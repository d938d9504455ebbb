import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import type { TunnelSpec } from '../../src/tunnel/spec.ts';
import { startSink } from '../support/echo.ts';
import { listen } from '../support/listen.ts';
import { startRelay } from '../support/relay.ts';
import { startSshd, type TestSshd } from '../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { startBlackHole } from './black-hole.ts';
import { startFakeServer, startFakeSsh } from './fake-server.ts';

describe('stop ends within two seconds', { concurrency: 4 }, () => {
  test('while it waits for the next attempt, after a refusal or in p-retry', async (t) => {
    const sshd = await server(t);
    const closing = await startFakeServer(t, (socket) => socket.end());
    for (const port of [await freePort(), closing.port]) {
      const tunnel = await start(t, sshd, { port, reconnect: { minMs: 60_000, maxMs: 60_000 } });
      await tunnel.untilPhase('waiting');
      await stopped(tunnel);
    }
  });

  test('while a person must act', async (t) => {
    const sshd = await server(t);
    const tunnel = await start(t, sshd, { userKnownHostsFiles: [] });
    await tunnel.untilPhase('blocked');
    await stopped(tunnel);
  });

  test('while it connects to a black hole', async (t) => {
    const sshd = await server(t);
    const hole = await startBlackHole(t);
    const tunnel = await start(t, sshd, { port: hole.port, connectTimeoutMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(tunnel.state().phase, 'connecting');
    await stopped(tunnel);
  });

  test('while the server is silent in the handshake', async (t) => {
    const sshd = await server(t);
    const silent = await startFakeServer(t, (socket) => socket.resume());
    const tunnel = await start(t, sshd, { port: silent.port, connectTimeoutMs: 60_000 });
    await until(() => silent.open() === 1, { what: 'the connection' });
    await stopped(tunnel);
    await until(() => silent.open() === 0, { what: 'the end of the connection' });
  });

  test('while the server thinks about our key', async (t) => {
    const sshd = await server(t);
    const thinking = await startFakeSsh(t, sshd, (connection) => connection.on('authentication', () => {}));
    const tunnel = await start(t, sshd, { port: thinking.port });
    await tunnel.untilPhase('authenticating');
    await stopped(tunnel);
    await until(() => thinking.open() === 0, { what: 'the end of the connection' });
  });

  test('while the server does not say whether it listens', async (t) => {
    const sshd = await server(t);
    const silent = await startFakeSsh(t, sshd, (connection) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', () => {});
    });
    const tunnel = await start(t, sshd, { port: silent.port });
    await tunnel.untilPhase('forwarding');
    await stopped(tunnel);
  });

  test('while it is up: the listeners are free at once', async (t) => {
    const sshd = await server(t);
    const [one, two] = [await freePort(), await freePort()];
    const spec = specFor(sshd, [
      [one, 1],
      [two, 1],
    ]);
    const tunnel = startTunnel(t, spec);
    await tunnel.untilPhase('up');
    await stopped(tunnel);
    for (const port of [one, two]) {
      const successor = createServer();
      await listen(successor, '127.0.0.1', port);
      await new Promise((resolve) => successor.close(resolve));
    }
    assert.deepEqual(
      tunnel.state().forwards.map(({ state }) => state),
      ['pending', 'pending'],
    );
    await sshd.waitForLog(/Received disconnect from 127\.0\.0\.1/);
  });

  test('while it is up over a dead path, with visitors', async (t) => {
    const sshd = await server(t);
    const relay = await startRelay({ port: sshd.port });
    const target = await startSink();
    t.after(() => Promise.all([relay.close(), target.close()]));
    const port = await freePort();
    const tunnel = startTunnel(t, specFor(sshd, [[port, target.port]], { port: relay.port }));
    await tunnel.untilPhase('up');
    const visitor = connect(port, '127.0.0.1').on('error', () => {});
    t.after(() => visitor.destroy());
    visitor.write(Buffer.alloc(8_000_000));
    await until(() => target.open() === 1, { what: 'the visitor at the target' });
    relay.drop();
    await stopped(tunnel);
    await until(() => target.open() === 0, { what: "the target's end of the visit" });
  });

  test('before it has begun', async (t) => {
    const sshd = await server(t);
    const tunnel = await start(t, sshd);
    await stopped(tunnel);
    assert.doesNotMatch(sshd.log(), /Accepted/);
  });
});

/** Ends it, and checks that nothing was made of that: being stopped is no failure. */
async function stopped(tunnel: TestTunnel): Promise<void> {
  const { failure } = tunnel.state();
  const told = tunnel.lines.length;
  const started = performance.now();
  await tunnel.stop();
  assert.ok(performance.now() - started < 2000, `it took ${performance.now() - started} ms`);
  const state = tunnel.state();
  assert.deepEqual([state.phase, state.retryAt, state.sourcePort], ['stopped', null, null]);
  assert.equal(state.failure, failure);
  assert.deepEqual(
    tunnel.lines.slice(told).filter((line) => Number(line['level']) >= 40),
    [],
  );
}

async function server(t: TestContext): Promise<TestSshd> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  return sshd;
}

async function start(t: TestContext, sshd: TestSshd, changes: Partial<TunnelSpec> = {}): Promise<TestTunnel> {
  return startTunnel(t, specFor(sshd, [[await freePort(), 1]], changes));
}

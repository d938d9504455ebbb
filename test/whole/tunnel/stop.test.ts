import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { after, describe, test, type TestContext } from 'node:test';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { listen } from '../../support/listen.ts';
import { startRelay } from '../../support/relay.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { startBlackHole } from '../../support/black-hole.ts';
import { startFakeServer, startFakeSsh } from '../../support/fake-server.ts';
import { pour } from '../../support/pour.ts';

const sshd = await startSshd();
after(() => sshd.stop());

describe('stop ends within two seconds', () => {
  test('ends while it waits for the next attempt, after a refusal or a broken handshake', async (t) => {
    const closing = await startFakeServer(t, (socket) => socket.end());
    for (const port of [await freePort(), closing.port]) {
      const tunnel = await start(t, { port, reconnect: { minMs: 60_000, maxMs: 60_000 } });
      await tunnel.untilPhase('waiting');
      await stopped(tunnel);
    }
  });

  test('ends while a person must act', async (t) => {
    const tunnel = await start(t, { userKnownHostsFiles: [] });
    await tunnel.untilPhase('blocked');
    await stopped(tunnel);
  });

  test('ends while it connects to a black hole', async (t) => {
    const hole = await startBlackHole(t);
    const tunnel = await start(t, { port: hole.port, connectTimeoutMs: 60_000 });
    await tunnel.untilPhase('connecting');
    await stopped(tunnel);
  });

  test('ends while the server is silent in the handshake', async (t) => {
    const silent = await startFakeServer(t, (socket) => socket.resume());
    const tunnel = await start(t, { port: silent.port, connectTimeoutMs: 60_000 });
    await until(() => silent.open() === 1, { what: 'the connection' });
    await stopped(tunnel);
    await until(() => silent.open() === 0, { what: 'the end of the connection' });
  });

  test('ends while the server thinks about the key', async (t) => {
    const thinking = await startFakeSsh(t, sshd, (connection) => connection.on('authentication', () => {}));
    const tunnel = await start(t, { port: thinking.port });
    await tunnel.untilPhase('authenticating');
    await stopped(tunnel);
    await until(() => thinking.open() === 0, { what: 'the end of the connection' });
  });

  test('ends while the server does not say whether it listens', async (t) => {
    const silent = await startFakeSsh(t, sshd, (connection) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', () => {});
    });
    const tunnel = await start(t, { port: silent.port });
    await tunnel.untilPhase('forwarding');
    await stopped(tunnel);
  });

  test('ends while it is up, and frees its listeners at once', async (t) => {
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

  test('ends while it is up over a dead path, with megabytes on their way', async (t) => {
    const relay = await startRelay({ port: sshd.port });
    t.after(() => relay.close());
    const target = await startFakeServer(t, (socket) => pour(socket, Buffer.alloc(64 * 1024)));
    const port = await freePort();
    const tunnel = startTunnel(t, specFor(sshd, [[port, target.port]], { port: relay.port }));
    await tunnel.untilPhase('up');
    const visitors = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    t.after(() => visitors.forEach((visitor) => visitor.destroy()));
    for (const visitor of visitors) visitor.resume();
    await until(() => relay.bytesUp() > 1_000_000 && target.open() === 8, { what: 'the visitors' });
    relay.drop();
    // What the windows of the visitors allow fills the buffers of the path, and stays in ours.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await stopped(tunnel);
    await until(() => target.open() === 0, { what: "the target's end of the visits" });
  });

  test('ends when it is stopped before it has begun', async (t) => {
    const tunnel = await start(t);
    await stopped(tunnel);
    assert.ok(!tunnel.phases.includes('authenticating'));
  });
});

/** Ends it, and checks that nothing was made of that: being stopped is no failure. */
async function stopped(tunnel: TestTunnel): Promise<void> {
  const { failure } = tunnel.state();
  const told = tunnel.lines.length;
  const started = performance.now();
  await tunnel.stop();
  const took = performance.now() - started;
  assert.ok(took < 2000 + NOISE_MS, `it took ${took} ms`);
  const state = tunnel.state();
  assert.deepEqual([state.phase, state.retryAt, state.sourcePort], ['stopped', null, null]);
  assert.equal(state.failure, failure);
  assert.deepEqual(
    tunnel.lines.slice(told).filter((line) => Number(line['level']) >= 40),
    [],
  );
}

/** What a busy machine may add. */
const NOISE_MS = 8000;

async function start(t: TestContext, changes: Partial<TunnelSpec> = {}): Promise<TestTunnel> {
  return startTunnel(t, specFor(sshd, [[await freePort(), 1]], changes));
}

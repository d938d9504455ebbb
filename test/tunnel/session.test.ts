import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { startEcho, startSource } from '../support/echo.ts';
import { startRelay, type Relay } from '../support/relay.ts';
import { startSshd, type TestSshd } from '../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';

/** No quicker, or a machine that is busy with other tests is silent for as long. */
const QUICK: Partial<TunnelSpec> = { serverAliveIntervalMs: 2000, serverAliveCountMax: 1 };

describe('a connection that is silently gone', { concurrency: 6 }, () => {
  test('gives a server up after interval times (count + 1) when it is frozen, and finds it again', async (t) => {
    const { sshd, tunnel, port } = await start(t, QUICK);
    await tunnel.untilPhase('up');
    sshd.freeze();
    const frozen = performance.now();
    const { failure } = await tunnel.untilFailure('keepalive-lost');
    assert.ok(performance.now() - frozen > 1000, 'not before it was asked');
    assert.match(
      failure?.message ?? '',
      /^nothing heard from the server for \d+ s(?:, though it answers new connections)?$/,
    );
    assert.ok(tunnel.phases.includes('waiting'));
    sshd.thaw();
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'again'), 'again');
  });

  test('ends the visitors when there is a black hole on the way, and finds the path again when it heals', async (t) => {
    const { tunnel, port, relay } = await start(t, { ...QUICK, connectTimeoutMs: 2000 });
    await tunnel.untilPhase('up');
    const visitor = connect(port, '127.0.0.1').on('error', () => {});
    t.after(() => visitor.destroy());
    visitor.write('x');
    await until(() => tunnel.state().forwards[0]?.counters.bytesOut === 1, { what: 'the echo' });
    relay.drop();
    await tunnel.untilFailure('keepalive-lost');
    assert.equal(tunnel.state().forwards[0]?.counters.connections, 0);
    await tunnel.untilFailure('handshake-failed');
    relay.heal();
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'again'), 'again');
  });

  test('keeps a link when it is quiet', async (t) => {
    const { sshd, tunnel, relay } = await start(t, { serverAliveIntervalMs: 400, serverAliveCountMax: 10 });
    await tunnel.untilPhase('up');
    const sent = new Set<number>();
    await until(() => sent.add(relay.bytesUp()).size >= 5, { what: 'questions to the server' });
    assert.ok((tunnel.state().rttMs ?? 0) > 0);
    assert.equal(tunnel.state().phase, 'up');
    assert.equal(logins(sshd), 1);
  });

  test('keeps a link when its slow uplink has megabytes to send', async (t) => {
    const changes = { serverAliveIntervalMs: 2000, serverAliveCountMax: 2 };
    const { sshd, tunnel, port, relay } = await start(t, changes, () => startSource(8_000_000));
    await tunnel.untilPhase('up');
    relay.rate(200 * 1024);
    const visitors = [1, 2, 3].map(() =>
      connect(port, '127.0.0.1')
        .resume()
        .on('error', () => {}),
    );
    t.after(() => visitors.forEach((visitor) => visitor.destroy()));
    await until(() => tunnel.state().forwards[0]?.counters.connections === 3, { what: 'the visitors' });
    const before = relay.bytesUp();
    await wait(8000);
    assert.deepEqual([tunnel.state().phase, tunnel.state().failure], ['up', null]);
    assert.equal(logins(sshd), 1);
    assert.ok(relay.bytesUp() - before > 100_000, `${relay.bytesUp() - before} bytes sent`);
    assert.ok((tunnel.state().forwards[0]?.counters.bytesOut ?? 0) > relay.bytesUp() + 1_000_000, 'much is queued');
  });

  test('sends no keepalive when serverAliveInterval is 0, and stays up when a frozen server thaws', async (t) => {
    const { sshd, tunnel, port } = await start(t, { serverAliveIntervalMs: 0, serverAliveCountMax: 1 });
    await tunnel.untilPhase('up');
    sshd.freeze();
    await wait(1500);
    assert.equal(tunnel.state().phase, 'up');
    sshd.thaw();
    assert.equal(await visit(port, 'awake'), 'awake');
    assert.equal(logins(sshd), 1);
  });
});

function logins(sshd: TestSshd): number | undefined {
  return sshd.log().match(/Accepted publickey/g)?.length;
}

/** A tunnel that goes through a relay. */
async function start(
  t: TestContext,
  changes: Partial<TunnelSpec>,
  startTarget: () => Promise<{ readonly port: number; close(): Promise<void> }> = startEcho,
): Promise<{ sshd: TestSshd; tunnel: TestTunnel; port: number; relay: Relay }> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const relay = await startRelay({ port: sshd.port });
  const target = await startTarget();
  t.after(() => Promise.all([relay.close(), target.close()]));
  const port = await freePort();
  const tunnel = startTunnel(t, specFor(sshd, [[port, target.port]], { port: relay.port, ...changes }));
  return { sshd, tunnel, port, relay };
}

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { systemClock } from '../../src/lib/async/clock.ts';
import { dial, type Dialled } from '../../src/net/dial.ts';
import { TunnelFailure, type FailureCode } from '../../src/model/failure.ts';
import { waitForNetwork } from '../../src/tunnel/wait-for-network.ts';
import { fakeClock } from '../support/clock.ts';
import { listen } from '../support/listen.ts';
import { startSshd } from '../support/sshd.ts';
import { specFor, startTunnel, testTurns } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { startBlackHole } from '../support/black-hole.ts';

const patient = new AbortController().signal;

describe('the gate', () => {
  test('opens when the first ping is answered, and ends the dial', async () => {
    const { clock, deps, network } = fakeNetwork();
    const opened = waitForNetwork(0, deps, patient);
    await clock.advance(30_000);
    network.pings = true;
    await clock.advance(7000);
    assert.equal(await opened, null);
    assert.equal(network.dialling, 0);
    assert.equal(clock.pending(), 0);
  });

  test('opens when the server answers, though nothing answers pings', async (t) => {
    const { clock, deps, network } = fakeNetwork();
    const opened = waitForNetwork(0, deps, patient);
    await clock.advance(30_000);
    network.server = await openSocket(t);
    await clock.advance(11_500);
    assert.equal(await opened, network.server);
    assert.equal(network.server.socket.destroyed, false);
  });

  test('opens when the server refuses: its machine was reached', async () => {
    const { clock, deps, network } = fakeNetwork();
    const opened = waitForNetwork(0, deps, patient);
    await clock.advance(30_000);
    network.failure = 'connect-refused';
    await clock.advance(11_500);
    assert.equal(await opened, null);
  });

  test('closes a connection when it opens after a ping was answered', async (t) => {
    const { clock, deps } = fakeNetwork();
    const dialled = await openSocket(t);
    const { socket } = dialled;
    const dialTooLate = () => new Promise<Dialled>((resolve) => clock.timer(5500, () => resolve(dialled)));
    const opened = waitForNetwork(0, { ...deps, ping: () => Promise.resolve(true), dial: dialTooLate }, patient);
    await clock.advance(5000);
    assert.equal(await opened, null);
    assert.equal(socket.destroyed, false);
    await clock.advance(500);
    assert.equal(socket.destroyed, true);
  });

  test('knocks all the time, asks others every few seconds, later every 17, and reports that it lives, while the network is away', async () => {
    const { clock, deps, network } = fakeNetwork();
    const controller = new AbortController();
    const opened = waitForNetwork(0, deps, controller.signal);
    await clock.advance(70_000);
    assert.equal(network.rounds, 10);
    assert.equal(network.dials, 7);
    await clock.advance(3_530_000);
    const { rounds, dials } = network;
    await clock.advance(180_000);
    assert.ok(Math.abs(network.rounds - rounds - 10.5) <= 0.5);
    assert.equal(network.dials - dials, 15);
    assert.ok(network.dueBy > clock.now());
    controller.abort(new Error('stopped'));
    await assert.rejects(opened, /stopped/);
    assert.equal(clock.pending(), 0);
    assert.equal(network.dialling, 0);
  });
});

describe('a tunnel without a network', { concurrency: 4 }, () => {
  test('waits for it, says so once, and comes up with it', async (t) => {
    const { tunnel, network, heal } = await cutOff(t);
    await tunnel.untilPhase('waiting-for-network');
    assert.equal(tunnel.state().failure?.code, 'network-down');
    assert.match(tunnel.state().failure?.message ?? '', /no ping is answered, and 127\.0\.0\.1:\d+: did not answer/);
    await heal();
    network.pings = true;
    await tunnel.untilPhase('up');
    const told = tunnel.lines.filter((line) => line['level'] === 40 && line['code'] === 'network-down');
    assert.equal(told.length, 1);
    assert.deepEqual(tunnel.phases.slice(0, 3), ['connecting', 'waiting-for-network', 'connecting']);
  });

  test('comes up when the server is there, though no ping is ever answered', async (t) => {
    const { tunnel, heal } = await cutOff(t);
    await tunnel.untilPhase('waiting-for-network');
    await heal();
    await tunnel.untilPhase('up');
  });

  test('stops at once when it waits for a network', async (t) => {
    const { tunnel } = await cutOff(t);
    await tunnel.untilPhase('waiting-for-network');
    const started = performance.now();
    await tunnel.stop();
    assert.ok(performance.now() - started < 8000, 'not with the end of a knock');
    assert.equal(tunnel.state().phase, 'stopped');
  });

  test('starts afresh when told "try now"', async (t) => {
    const { tunnel } = await cutOff(t);
    await tunnel.untilPhase('waiting-for-network');
    tunnel.retryNow();
    await until(() => tunnel.state().attempts === 2, { what: 'a second attempt' });
  });
});

describe('takes an answered ping for a hint, and no more', { concurrency: 4 }, () => {
  test('sends no ping when the server answers', async (t) => {
    const sshd = await startSshd();
    t.after(() => sshd.stop());
    let asked = 0;
    const ping = () => Promise.resolve(++asked < 0);
    const tunnel = startTunnel(t, specFor(sshd, [[await freePort(), 1]]), { ping });
    await tunnel.untilPhase('up');
    assert.equal(asked, 0);
    assert.deepEqual(tunnel.phases, ['connecting', 'authenticating', 'forwarding', 'up']);
  });

  test('says that the server does not answer when pings are answered', async (t) => {
    const { tunnel, network } = await cutOff(t);
    network.pings = true;
    const { failure } = await tunnel.untilPhase('waiting');
    assert.equal(failure?.code, 'connect-timeout');
  });

  test('takes a dead network for a server that does not answer when there are no hints', async (t) => {
    const { tunnel } = await cutOff(t, false);
    const { failure } = await tunnel.untilPhase('waiting');
    assert.equal(failure?.code, 'connect-timeout');
  });

  test('sends no ping when the server refuses', async (t) => {
    const { tunnel, network, hole } = await cutOff(t);
    await hole.close();
    const { failure } = await tunnel.untilFailure('connect-refused');
    assert.match(failure?.message ?? '', /ECONNREFUSED/);
    await tunnel.untilPhase('waiting');
    const { asked } = network;
    const { attempts } = tunnel.state();
    tunnel.retryNow();
    await until(() => tunnel.state().attempts > attempts && tunnel.state().phase === 'waiting', {
      what: 'the next refusal',
    });
    assert.equal(network.asked, asked);
  });
});

/** A network in which nothing answers until the test says so; a ping takes two seconds to fail, a dial its whole time. */
function fakeNetwork() {
  const clock = fakeClock();
  const network = {
    pings: false,
    server: null as Dialled | null,
    failure: 'connect-timeout' as FailureCode,
    rounds: 0,
    dialling: 0,
    dials: 0,
    dueBy: 0,
  };
  const within = (ms: number, signal: AbortSignal, then: () => void, reject: (error: unknown) => void) => {
    const onAbort = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.timer(ms, () => {
      signal.removeEventListener('abort', onAbort);
      then();
    });
    signal.addEventListener('abort', onAbort);
  };
  const deps = {
    clock,
    random: () => 0.5,
    heartbeat: (withinMs: number) => (network.dueBy = clock.now() + withinMs),
    ping: (signal: AbortSignal) =>
      new Promise<boolean>((resolve, reject) => {
        network.rounds++;
        within(network.pings ? 0 : 2000, signal, () => resolve(network.pings), reject);
      }),
    dial: (timeoutMs: number, signal: AbortSignal) => {
      network.dialling++;
      network.dials++;
      return new Promise<Dialled>((resolve, reject) => {
        const refuse = () => reject(new TunnelFailure(network.failure, 'not there'));
        const answer = () => (network.server === null ? refuse() : resolve(network.server));
        within(
          network.failure === 'connect-timeout' && network.server === null ? timeoutMs : 0,
          signal,
          answer,
          reject,
        );
      }).finally(() => network.dialling--);
    },
  };
  return { clock, deps, network };
}

async function openSocket(t: TestContext): Promise<Dialled> {
  const server = createServer((socket) => socket.on('error', () => {}));
  const port = await listen(server);
  t.after(() => server.close());
  const spec = {
    host: '127.0.0.1',
    port,
    addressFamily: 'any',
    bindAddress: null,
    bindInterface: null,
    tcpKeepAlive: false,
    connectLimit: null,
  } as const;
  const dialled = await dial(spec, 5000, { clock: systemClock, turns: testTurns() }, patient);
  t.after(() => dialled.socket.destroy());
  return dialled;
}

/** A tunnel whose server swallows packets until heal(); no ping is answered until the test says so. */
async function cutOff(t: TestContext, hints = true) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  await sshd.kill();
  const hole = await startBlackHole(t, '127.0.0.1', sshd.port);
  const network = { pings: false, asked: 0 };
  const ping = () => {
    network.asked++;
    return Promise.resolve(network.pings);
  };
  const spec = specFor(sshd, [[await freePort(), 1]], { connectTimeoutMs: 2500 });
  const tunnel = startTunnel(t, spec, { ping: hints ? ping : null });
  const heal = async () => {
    await hole.close();
    await sshd.restart();
  };
  return { tunnel, network, hole, heal };
}

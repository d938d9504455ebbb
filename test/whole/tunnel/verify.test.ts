import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import type { Connection } from 'ssh2';
import { systemClock, type Clock } from '../../../src/lib/async/clock.ts';
import type { Device } from '../../../src/net/device.ts';
import type { ForwardSpec, TunnelSpec } from '../../../src/model/spec.ts';
import { startEcho } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startRelay } from '../../support/relay.ts';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { startFakeSsh } from '../../support/fake-server.ts';
import { visit } from '../../support/visit.ts';

describe('verification', { concurrency: 4 }, () => {
  test('serves visitors while it is under way, whether they speak first or not', async (t) => {
    const greeter = createServer((socket) => socket.end('welcome'));
    const greeting = await listen(greeter);
    t.after(() => greeter.close());
    const sshd = await server(t);
    const relay = await startRelay({ port: sshd.port });
    t.after(() => relay.close());
    relay.delay(150);
    const [speaks, waits] = [await freePort(), await freePort()];
    const echo = await startEcho();
    t.after(() => echo.close());
    const tunnel = startTunnel(
      t,
      specFor(
        sshd,
        [
          [speaks, echo.port],
          [waits, greeting],
        ],
        { port: relay.port },
      ),
    );
    // As soon as the server listens, and so while the test is on its way.
    const words = until(() => visit(speaks, 'me first'), { what: 'the echo' });
    const welcome = until(() => visit(waits, ''), { what: 'the greeting' });
    assert.equal(await words, 'me first');
    assert.equal(await welcome, 'welcome');
    await tunnel.untilPhase('up');
    assert.deepEqual(
      tunnel.state().forwards.map(({ verified }) => verified),
      ['yes', 'yes'],
    );
  });

  test('does not keep one who waits for the first word when a look drags on', async (t) => {
    const greeter = createServer((socket) => socket.on('error', () => {}).end('welcome'));
    const greeting = await listen(greeter);
    t.after(() => greeter.close());
    const sshd = await server(t);
    const port = await freePort();
    let client: Connection | null = null;
    // It takes the words of every look, and brings none of them back.
    const fake = await startFakeSsh(
      t,
      sshd,
      (connection) => {
        client = connection;
        connection.on('authentication', (attempt) => attempt.accept());
        connection.on('request', (accept, reject, name) => (name.endsWith('tcpip-forward') ? accept?.() : reject?.()));
        connection.on('tcpip', (accept, reject, { destIP }) => {
          if (destIP !== '127.0.0.1') {
            reject();
            return;
          }
          accept()
            .on('error', () => {})
            .resume();
          looks += 1;
        });
      },
      { ident: 'OpenSSH_9.9' },
    );
    let looks = 0;
    const tunnel = startTunnel(t, specFor(sshd, [[port, greeting]], { port: fake.port }));
    await until(() => looks === 1, { what: 'the look' });
    const said = new Promise<string>((resolve, reject) =>
      client!.forwardOut('localhost', port, '127.0.0.1', 4711, (error, channel) =>
        error ? reject(error) : resolve(text(channel)),
      ),
    );
    assert.equal(await said, 'welcome');
    assert.deepEqual([looks, tunnel.state().forwards[0]?.state, tunnel.state().failure], [1, 'pending', null]);
  });

  test('verifies on a Unix socket, on all addresses, on ::1 alone, and at a port that the server chose', async (t) => {
    const sshd = await server(t, { config: ['GatewayPorts clientspecified'] });
    const echo = await startEcho();
    t.after(() => echo.close());
    const target = { type: 'tcp', host: '127.0.0.1', port: echo.port } as const;
    const tcp = async (host: string) => ({ type: 'tcp', host, port: await freePort() }) as const;
    const listeners = [
      { type: 'unix', path: `${sshd.dir}/x.sock` } as const,
      await tcp(''),
      await tcp('::1'),
      // Of localhost another program may have that port at one address.
      { type: 'tcp', host: '127.0.0.1', port: 0 } as const,
    ];
    const forwards = listeners.map((one): ForwardSpec => ({ kind: 'remote', listen: one, target }));
    const tunnel = startTunnel(t, { ...specFor(sshd, [[1, 1]]), forwards });
    await tunnel.untilPhase('up');
    assert.deepEqual(
      tunnel.state().forwards.map(({ verified }) => verified),
      ['yes', 'yes', 'yes', 'yes'],
    );
  });

  test('verifies when permitopen allows the name alone', async (t) => {
    const port = await freePort();
    const sshd = await server(t, { keyOptions: `restrict,port-forwarding,permitopen="localhost:${port}"` });
    const { tunnel } = await start(t, sshd, port);
    const { forwards } = await tunnel.untilPhase('up');
    assert.equal(forwards[0]?.verified, 'yes');
  });

  test('says in status that the server forbids it, and why', async (t) => {
    const sshd = await server(t, { config: ['AllowTcpForwarding remote'] });
    const { tunnel } = await start(t, sshd, await freePort());
    const { forwards } = await tunnel.untilPhase('up');
    assert.equal(forwards[0]?.verified, 'unknown');
    assert.match(
      forwards[0].unverified ?? '',
      /the server forbids connections to 127\.0\.0\.1:\d+ \(administratively prohibited/,
    );
  });

  test('keeps the tunnel pending until it is verified when that is required', async (t) => {
    const sshd = await server(t, { config: ['AllowTcpForwarding remote'] });
    const { tunnel } = await start(t, sshd, await freePort(), { verify: 'required' });
    const { failure, phase } = await tunnel.untilFailure('forward-refused');
    assert.equal(phase, 'forwarding');
    assert.match(failure?.message ?? '', /cannot be verified \(verify: required\): the server forbids/);
    const other = await start(t, await server(t), await freePort(), { verify: 'required' });
    await other.tunnel.untilPhase('up');
  });

  test('tries nothing when it is off', async (t) => {
    const { tunnel, echo } = await start(t, await server(t), await freePort(), { verify: 'off' });
    const { forwards } = await tunnel.untilPhase('up');
    assert.deepEqual([forwards[0]?.verified, forwards[0]?.unverified, echo.accepted()], ['unknown', 'verify: off', 0]);
  });

  test('verifies again from time to time, gives a listener back that leads elsewhere, and asks until it leads here', async (t) => {
    const sshd = await server(t);
    const port = await freePort();
    let stolen = false;
    // A server that leads visitors of its listener back to its client, until somebody has taken the port away.
    const fake = await startFakeSsh(
      t,
      sshd,
      (connection) => {
        connection.on('authentication', (attempt) => attempt.accept());
        connection.on('request', (accept, reject, name) => (name.endsWith('tcpip-forward') ? accept?.() : reject?.()));
        connection.on('tcpip', (accept, _reject, { destIP }) => {
          const channel = accept().on('error', () => {});
          if (stolen) {
            channel.resume();
            channel.end('stolen\n');
            return;
          }
          connection.forwardOut('localhost', port, destIP, 4711, (error, back) => {
            if (error) channel.close();
            else channel.pipe(back).pipe(channel);
          });
        });
      },
      { ident: 'OpenSSH_9.9' },
    );
    const { tunnel } = await start(t, sshd, port, { port: fake.port }, { clock: impatientClock });
    const { forwards } = await tunnel.untilPhase('up');
    assert.equal(forwards[0]?.verified, 'yes');
    stolen = true;
    await until(() => tunnel.state().forwards[0]?.verified === 'no', { what: 'the finding' });
    assert.equal(tunnel.state().phase, 'forwarding');
    assert.match(
      tunnel.state().failure?.message ?? '',
      /^visitors of localhost:\d+ do not come out here: another program listens there: it says stolen$/,
    );
    stolen = false;
    await tunnel.untilPhase('up');
    assert.equal(tunnel.state().forwards[0]?.verified, 'yes');
  });

  test('tells another device with the same keys from any other program', async (t) => {
    const sshd = await server(t);
    const port = await freePort();
    const key = Buffer.from(sshd.hostKeys[0]!.publicKey.split(' ')[1]!, 'base64');
    const device: Partial<Device> = { hostKeys: () => Promise.resolve([key]) };
    const spec = specFor(sshd, [[port, sshd.port]]);
    const first = startTunnel(t, spec, { device });
    await first.untilPhase('up');
    const clone = startTunnel(t, { ...spec, name: 'clone' }, { device });
    const { failure } = await clone.untilFailure('forward-refused');
    assert.match(
      failure?.message ?? '',
      /device's own host key: another tunnel of it lives, or another device has the same keys \(a cloned card\?\)/,
    );
    const elsewhere = { ...specFor(sshd, [[port, await freePort()]]), name: 'stranger' };
    const stranger = startTunnel(t, elsewhere, { device: { hostKeys: () => Promise.resolve([]) } });
    assert.match(
      (await stranger.untilFailure('forward-refused')).failure?.message ?? '',
      /an SSH server, but not this device's \(SSH-2\.0-OpenSSH/,
    );
    assert.equal(first.state().phase, 'up');
  });

  test('degrades the tunnel when a target refuses, and asks it again', async (t) => {
    const closed = await freePort();
    const port = await freePort();
    const clock = skippingClock();
    const tunnel = startTunnel(t, specFor(await server(t), [[port, closed]]), { clock });
    await tunnel.untilPhase('up');
    await until(() => tunnel.state().forwards[0]?.targetFailure?.code === 'target-unreachable', {
      what: 'the finding',
    });
    assert.equal(tunnel.state().phase, 'up');
    const late = createServer((socket) => socket.end());
    await listen(late, '127.0.0.1', closed);
    t.after(() => late.close());
    await until(() => clock.skip(60_000) > 0, { what: 'the wait for the next look' });
    await until(() => tunnel.state().forwards[0]?.targetFailure === null, { what: 'the recovery' });
  });
});

async function server(t: TestContext, options: SshdOptions = {}): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

async function start(
  t: TestContext,
  sshd: TestSshd,
  port: number,
  changes: Partial<TunnelSpec> = {},
  options: Parameters<typeof startTunnel>[2] = {},
): Promise<{ tunnel: TestTunnel; echo: Awaited<ReturnType<typeof startEcho>> }> {
  const echo = await startEcho();
  t.after(() => echo.close());
  return { tunnel: startTunnel(t, specFor(sshd, [[port, echo.port]], changes), options), echo };
}

/** Waits of a quarter of an hour are over at once, all others last as long as they do. */
const impatientClock: Clock = {
  ...systemClock,
  timer: (ms, fn) => systemClock.timer(ms > 120_000 ? 300 : ms, fn),
};

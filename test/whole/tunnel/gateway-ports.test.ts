import assert from 'node:assert/strict';
import { connect, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { assessTunnel } from '../../../src/status/health.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { startEcho } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

/** No loopback address to sshd, which knows three texts for that, and still one of this machine alone. */
const ADDRESS = '127.0.0.2';

const YES = 'verified: yes';

describe('a listener at an address', { concurrency: 4 }, () => {
  test('stays, degraded, and says where it is, when GatewayPorts no puts it on loopback', async (t) => {
    const { sshd, tunnel, port } = await start(t, ADDRESS, { config: ['GatewayPorts no'] });
    const state = await tunnel.untilPhase('up');
    assert.equal(
      standing(tunnel),
      `the server listens on loopback only (GatewayPorts no): 127.0.0.1:${port} and [::1]:${port} lead here, and nothing listens on ${ADDRESS}:${port}`,
    );
    assert.equal(assessTunnel({ spec: tunnel.spec, state, startedAt: 0, previous: [] }, state.since), 'degraded');
    assert.equal(await visit(port, 'the way in'), 'the way in');
    assert.deepEqual(tunnel.phases.slice(tunnel.phases.indexOf('up')), ['up']);
    assert.doesNotMatch(sshd.log(), /cancel-tcpip-forward/);
  });

  for (const [config, host, exposed] of [
    ['GatewayPorts yes', 'localhost', true],
    ['GatewayPorts yes', '127.0.0.1', true],
    ['GatewayPorts no', 'localhost', false],
    ['GatewayPorts clientspecified', 'localhost', false],
    ['GatewayPorts yes', '', false],
  ] as const) {
    test(`is ${exposed ? 'open to others' : 'no more than was asked for'} when it is of loopback: ${host} under ${config}`, async (t) => {
      const { tunnel } = await start(t, host, { config: [config] });
      await tunnel.untilPhase('up');
      assert.equal(standing(tunnel), YES);
      const isOpen = () => tunnel.state().forwards[0]?.exposed === true;
      if (exposed) await until(isOpen, { what: 'what is to be said of it' });
      else assert.equal(isOpen(), false);
    });
  }

  for (const [config, host, wanted] of [
    ['GatewayPorts clientspecified', ADDRESS, YES],
    ['GatewayPorts yes', ADDRESS, YES],
    ['GatewayPorts yes', 'localhost', YES],
    ['GatewayPorts no', '0.0.0.0', YES],
    ['GatewayPorts no', '::', YES],
    ['GatewayPorts no', '', YES],
    ['GatewayPorts clientspecified', '0.0.0.0', YES],
    ['GatewayPorts clientspecified', '::', YES],
    ['PermitOpen localhost:PORT', ADDRESS, /^localhost:\d+ leads here, but what is at 127\.0\.0\.2:\d+ cannot be seen/],
    ['PermitOpen 127.0.0.2:PORT', ADDRESS, /^the server forbids connections to 127\.0\.0\.1:/],
    ['PermitOpen localhost:PORT 127.0.0.2:PORT', ADDRESS, /^the server listens on loopback only/],
    ['PermitOpen localhost:PORT 127.0.0.1:PORT', 'localhost', YES],
    [
      'PermitOpen 127.0.0.1:PORT',
      'localhost',
      /^127\.0\.0\.1:\d+ leads here, but what is at \[::1\]:\d+ cannot be seen/,
    ],
    ['AddressFamily inet', 'localhost', /\[::1\]:\d+ cannot be seen: .*Address family for hostname not supported/],
    ['AddressFamily inet', '127.0.0.1', YES],
  ] as const) {
    test(`is where it was asked for: ${host === '' ? '*' : host} under ${config}`, async (t) => {
      const { tunnel } = await start(t, host, { config: [config] });
      await tunnel.untilPhase('up');
      const found = standing(tunnel);
      if (typeof wanted === 'string') assert.equal(found, wanted);
      else assert.match(found, wanted);
    });
  }

  test('stays when GatewayPorts no puts it on loopback, whatever SSH server has the address', async (t) => {
    const port = await freePort();
    const other = await startSshd();
    t.after(() => other.stop());
    await occupy(t, ADDRESS, port, (socket) => {
      const onward = connect(other.port, '127.0.0.1');
      for (const end of [socket, onward]) end.on('error', () => end.destroy());
      socket.pipe(onward).pipe(socket);
    });
    const { sshd, tunnel } = await start(t, ADDRESS, { config: ['GatewayPorts no'] }, {}, port);
    const { failure } = await tunnel.untilFailure('forward-refused');
    assert.match(
      failure?.message ?? '',
      /^not all visitors of .* come out here: 127\.0\.0\.1:\d+ and \[::1\]:\d+ lead here, but at 127\.0\.0\.2:\d+ .*an SSH server, but not this device's/,
    );
    assert.equal(await visit(port, 'the way in'), 'the way in');
    assert.doesNotMatch(sshd.log(), /cancel-tcpip-forward/);
  });

  test('is neither up nor given back when it is required and on loopback', async (t) => {
    const { tunnel, port } = await start(t, ADDRESS, { config: ['GatewayPorts no'] }, { verify: 'required' });
    const { phase, failure } = await tunnel.untilFailure('forward-refused');
    assert.equal(phase, 'forwarding');
    assert.match(failure?.message ?? '', /verify: required\): the server listens on loopback only/);
    assert.equal(await visit(port, 'the way in'), 'the way in');
  });
});

describe('a program of the server', { concurrency: 4 }, () => {
  for (const [mine, theirs] of [
    ['127.0.0.1', '::1'],
    ['::1', '127.0.0.1'],
  ] as const) {
    test(`is seen at ${theirs}, and what leads here at ${mine} stays; all of it is ours when it has gone`, async (t) => {
      const port = await freePort();
      const occupant = await occupy(t, theirs, port, (socket) => socket.end('somebody else\n'));
      const { tunnel } = await start(t, 'localhost', {}, {}, port);
      const { failure } = await tunnel.untilFailure('forward-refused');
      assert.match(
        failure?.message ?? '',
        /^not all visitors of localhost:\d+ come out here: .*it says somebody else$/,
      );
      const [forward] = tunnel.state().forwards;
      assert.deepEqual([forward?.state, forward?.refusal, forward?.verified], ['refused', 'in-use', 'no']);
      assert.equal(await say(mine, port, 'the way in'), 'the way in');
      assert.ok(!tunnel.phases.includes('up'));
      occupant.close();
      await tunnel.untilPhase('up');
      assert.equal(standing(tunnel), YES);
      for (const host of [mine, theirs]) assert.equal(await say(host, port, 'both'), 'both');
    });

    test(`is no proof when it is at ${theirs} and passes on to ${mine} what it gets`, async (t) => {
      const port = await freePort();
      await occupy(t, theirs, port, (socket) => {
        const onward = connect({ host: mine, port });
        onward.on('error', () => socket.destroy());
        socket.on('error', () => onward.destroy());
        socket.pipe(onward).pipe(socket);
      });
      const { tunnel } = await start(t, 'localhost', {}, {}, port);
      const { failure } = await tunnel.untilFailure('forward-refused');
      assert.match(failure?.message ?? '', /it relays to this tunnel what it gets, from another address/);
      assert.equal(tunnel.state().forwards[0]?.verified, 'no');
    });
  }
});

async function start(
  t: TestContext,
  host: string,
  options: SshdOptions = {},
  changes: Partial<TunnelSpec> = {},
  at?: number,
): Promise<{ sshd: TestSshd; tunnel: TestTunnel; port: number }> {
  const port = at ?? (await freePort());
  const config = options.config?.map((line) => line.replaceAll('PORT', `${port}`)) ?? [];
  const sshd = await startSshd({ ...options, config });
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const spec = specFor(sshd, [[port, echo.port]], changes);
  const forwards = spec.forwards.map((forward) => ({ ...forward, listen: { type: 'tcp', host, port } as const }));
  return { sshd, tunnel: startTunnel(t, { ...spec, forwards }), port };
}

function standing(tunnel: TestTunnel): string {
  const { verified = 'unknown', unverified = null } = tunnel.state().forwards[0] ?? {};
  return unverified ?? `verified: ${verified}`;
}

async function occupy(
  t: TestContext,
  host: string,
  port: number,
  serve: NonNullable<Parameters<typeof createServer>[1]>,
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, serve as never);
  await listen(server, host, port);
  t.after(() => server.close());
  return server;
}

function say(host: string, port: number, words: string): Promise<string> {
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.on('error', () => {});
  return text(socket.end(words));
}

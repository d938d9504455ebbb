import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/lib/async/clock.ts';
import type { Entry, ServerSpec, TunnelSpec } from '../../../src/model/spec.ts';
import { createTurns, type Turns } from '../../../src/net/pacing/turns.ts';
import { startEcho, startSource } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { startRelay } from '../../support/relay.ts';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel, type TestTunnelOptions } from '../../support/tunnel.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { startBlackHole } from '../../support/black-hole.ts';
import { startMicrosocks, startTinyproxy } from '../../support/proxies.ts';
import { visit } from '../../support/visit.ts';

describe('through other servers', { concurrency: 3 }, () => {
  test('goes through two jumps when each has its own key and known hosts', async (t) => {
    const [gate, inner, sshd] = await Promise.all([server(t), server(t), server(t)]);
    const { tunnel, port } = await start(t, sshd, { jumps: [serverSpec(gate), serverSpec(inner)] });
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'far away'), 'far away');
    const big = 'x'.repeat(3_000_000);
    assert.equal(await visit(port, big), big);
    await gate.waitForLog(/Accepted publickey/);
    await inner.waitForLog(/Accepted publickey/);
    assert.equal(tunnel.state().forwards[0]?.verified, 'yes');
  });

  test('stops at a jump when its host key is unknown, and says whose it is', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const jump = { ...serverSpec(gate), userKnownHostsFiles: [] };
    const { tunnel } = await start(t, sshd, { jumps: [jump] });
    const { failure, phase } = await tunnel.untilFailure('host-key-unknown');
    assert.match(failure?.message ?? '', new RegExp(`^on the way, at ${jump.user}@127\\.0\\.0\\.1:${gate.port}: `));
    assert.ok(phase === 'blocked' || (await tunnel.untilPhase('blocked')));
    assert.doesNotMatch(gate.log(), /Accepted/);
    assert.equal(sshd.log().includes('Connection from'), false);
  });

  test('names the jump when that forbids it', async (t) => {
    const [gate, sshd] = await Promise.all([server(t, { config: ['AllowTcpForwarding no'] }), server(t)]);
    const { tunnel } = await start(t, sshd, { jumps: [serverSpec(gate)] });
    const { failure } = await tunnel.untilFailure('proxy-failed');
    assert.match(failure?.message ?? '', /administratively prohibited/);
    assert.match(failure?.message ?? '', new RegExp(`:${gate.port}`));
  });

  test('counts a refusal for the server, not for the jump, when a server behind one refuses', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const turns = createTurns({ clock: systemClock, random: Math.random, icmpRefusals: () => null });
    const spec = specFor(sshd, [[await freePort(), 1]], { jumps: [serverSpec(gate)], user: 'nosuchuser' });
    const tunnel = startTunnel(t, spec, { device: { turns } });
    for (let tries = 1; tries <= 2; tries += 1) {
      await until(() => tunnel.lines.filter(({ code }) => code === 'auth-rejected').length === tries, {
        what: () => `refusal ${tries}: ${JSON.stringify(tunnel.state().failure)}`,
      });
      await tunnel.untilPhase('blocked');
      tunnel.retryNow();
    }
    const place = { address: '127.0.0.1', port: gate.port, source: null };
    const claim = { purpose: 'login', loginHistory: 'proven', urgent: false, limit: null } as const;
    await until(() => turns.nextAt(place, claim) <= systemClock.now(), { what: 'room for others at the jump' });
  });

  test('names the jump when it cannot reach the next server, and ends both sessions each time', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const { tunnel } = await start(t, sshd, { jumps: [serverSpec(gate)], port: await freePort() });
    const { failure } = await tunnel.untilFailure('proxy-failed');
    assert.match(failure?.message ?? '', /the server cannot connect to 127\.0\.0\.1:\d+: /);
    await until(() => gate.sessions().length === 0, { what: 'the end of the session at the jump' });
  });

  test('comes back at once when either session is lost', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const { tunnel, port } = await start(t, sshd, { jumps: [serverSpec(gate)] });
    for (const victim of [gate, sshd, gate]) {
      await tunnel.untilPhase('up');
      const before = tunnel.phases.length;
      victim.killSessions();
      await until(() => tunnel.phases.length > before && tunnel.state().phase === 'up', { what: 'the tunnel' });
      assert.equal(await visit(port, 'again'), 'again');
      await new Promise((resolve) => setTimeout(resolve, 1100));
    }
    await until(() => gate.sessions().length <= 2, { what: 'one session alone at the jump' });
  });

  test('finds out when a jump hangs, and when a server behind a live one does', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const quick = { serverAliveIntervalMs: 2000, serverAliveCountMax: 1 };
    const { tunnel, port } = await start(t, sshd, { ...quick, jumps: [{ ...serverSpec(gate), ...quick }] });
    for (const victim of [gate, sshd]) {
      await tunnel.untilPhase('up');
      victim.freeze();
      await until(() => tunnel.state().failure?.code === 'keepalive-lost' && tunnel.state().phase !== 'up', {
        what: () => `the loss: ${JSON.stringify(tunnel.state().failure)} ${tunnel.state().phase}`,
      });
      victim.thaw();
      await tunnel.untilPhase('up');
      assert.equal(await visit(port, 'again'), 'again');
    }
  });

  test('gives a jump up in time when it swallows the way to the next server', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const hole = await startBlackHole(t);
    const clock = skippingClock();
    const jump = { ...serverSpec(gate), connectTimeoutMs: 10_000 };
    const { tunnel } = await start(t, sshd, { jumps: [jump], port: hole.port }, { clock });
    await gate.waitForLog(/Accepted publickey/);
    await until(() => clock.skip(10_000) > 0, { what: 'the way to the next server' });
    const { failure } = await tunnel.untilFailure('proxy-failed');
    assert.match(failure?.message ?? '', /did not reach 127\.0\.0\.1:\d+ within 10 s/);
  });

  test('bounds the memory when a visitor does not read, while the other visitors are served', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const source = await startSource(200_000_000);
    t.after(() => source.close());
    const [stuck, free] = [await freePort(), await freePort()];
    const echo = await startEcho();
    t.after(() => echo.close());
    const spec = specFor(
      sshd,
      [
        [stuck, source.port],
        [free, echo.port],
      ],
      { jumps: [serverSpec(gate)] },
    );
    const tunnel = startTunnel(t, spec);
    await tunnel.untilPhase('up');
    const deaf = connect({ port: stuck, host: '127.0.0.1' }).on('error', () => {});
    deaf.pause();
    t.after(() => deaf.destroy());
    let last = -1;
    await until(
      async () => {
        const now = tunnel.state().forwards[0]!.counters.bytesOut;
        const still = now === last && now > 0;
        last = now;
        await new Promise((resolve) => setTimeout(resolve, 200));
        return still;
      },
      { what: 'the flow to stop' },
    );
    assert.ok(last < 40_000_000, `${last} bytes were taken`);
    const big = 'x'.repeat(2_000_000);
    assert.equal(await visit(free, big), big);
  });

  test('says goodbye to all servers when it stops', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const { tunnel } = await start(t, sshd, { jumps: [serverSpec(gate)] });
    await tunnel.untilPhase('up');
    await tunnel.stop();
    await gate.waitForLog(/Received disconnect from .*|Disconnected from user/);
    await sshd.waitForLog(/Received disconnect from .*|Disconnected from user/);
  });
});

describe('through a proxy command', { concurrency: 3 }, () => {
  test('carries the tunnel, and ends with all that it started when the tunnel ends', async (t) => {
    const sshd = await server(t);
    const pidFile = join(await tempDir(t), 'pid');
    const command = `sh -c 'echo $$ >${pidFile}; nc 127.0.0.1 ${sshd.port}; true'`;
    const { tunnel, port } = await start(t, sshd, { entry: { type: 'command', command } });
    await tunnel.untilPhase('up');
    const big = 'x'.repeat(2_000_000);
    assert.equal(await visit(port, big), big);
    assert.equal(tunnel.state().sourcePort, null);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    assert.ok(isRunning(pid));
    await tunnel.stop();
    await until(() => !isRunning(pid), { what: 'its end' });
  });

  test('reports exit code and last words, without escapes, when the command ends', async (t) => {
    const sshd = await server(t);
    const command = String.raw`sh -c 'printf "no way out\033[2J\n" >&2; exit 7'`;
    const { tunnel } = await start(t, sshd, { entry: { type: 'command', command } });
    const { failure } = await tunnel.untilFailure('proxy-failed');
    assert.equal(failure?.message, String.raw`proxyCommand ended with exit code 7: no way out\x1b[2J`);
    assert.ok(tunnel.lines.some((line) => line['msg'] === String.raw`proxyCommand says: no way out\x1b[2J`));
  });

  test('reports a command when it is killed, and when it does not exist', async (t) => {
    const sshd = await server(t);
    const program = `const s = net.connect(${sshd.port}, "127.0.0.1"); process.stdin.pipe(s).pipe(process.stdout)`;
    const command = `${process.execPath} -e '${program}; s.on("error", () => {}).on("close", () => process.exit(3))'`;
    const { tunnel, port } = await start(t, sshd, { entry: { type: 'command', command } });
    await tunnel.untilPhase('up');
    sshd.killSessions();
    assert.match((await tunnel.untilFailure('proxy-failed')).failure?.message ?? '', /ended with exit code 3$/);
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'again'), 'again');
    const other = await start(t, sshd, { entry: { type: 'command', command: 'no-such-program-here' } });
    const { failure } = await other.tunnel.untilFailure('proxy-failed');
    assert.match(failure?.message ?? '', /exit code 127: .*not found/);
  });

  test('ends a command when its child stays behind, and one that closes its output and stays', async (t) => {
    const sshd = await server(t);
    for (const command of [
      'sh -c "sleep 30 & exit 4"',
      'sh -c "setsid sleep 20 & exit 4"',
      'sh -c "setsid sleep 20 >/dev/null & exit 4"',
      'sh -c "exec >&-; sleep 30"',
    ]) {
      const { tunnel } = await start(t, sshd, { entry: { type: 'command', command }, connectTimeoutMs: 2000 });
      await until(() => tunnel.state().failure !== null, { what: 'the failure' });
      assert.match(tunnel.state().failure?.code ?? '', /^(?:proxy|handshake)-failed$/);
      const stopped = performance.now();
      await tunnel.stop();
      assert.ok(performance.now() - stopped < 10_000, 'not with what it left behind');
    }
  });

  test('ends a command when it ignores SIGTERM', async (t) => {
    const sshd = await server(t);
    const pidFile = join(await tempDir(t), 'pid');
    const command = `sh -c 'trap "" TERM HUP; echo $$ >${pidFile}; nc 127.0.0.1 ${sshd.port}; while :; do sleep 1; done'`;
    const { tunnel } = await start(t, sshd, { entry: { type: 'command', command } });
    await tunnel.untilPhase('up');
    const pid = Number(readFileSync(pidFile, 'utf8'));
    await tunnel.stop();
    assert.equal(isRunning(pid), false);
  });
});

describe('through a proxy', { concurrency: 3 }, () => {
  test('connects by HTTP CONNECT, with a password from a file', async (t) => {
    const sshd = await server(t);
    const proxy = await startTinyproxy(t, sshd.port);
    const dir = await tempDir(t);
    const passwordFile = join(dir, 'password');
    writeFileSync(passwordFile, 'secret\n', { mode: 0o600 });
    const entry: Entry = { type: 'http', host: '127.0.0.1', port: proxy, user: 'me', passwordFile };
    const { tunnel, port } = await start(t, sshd, { entry });
    await tunnel.untilPhase('up');
    const big = 'x'.repeat(2_000_000);
    assert.equal(await visit(port, big), big);
    assert.doesNotMatch(JSON.stringify(tunnel.lines), /secret|bWU6c2VjcmV0/);

    writeFileSync(passwordFile, 'wrong\n');
    const refused = await start(t, sshd, { entry });
    const { failure } = await refused.tunnel.untilFailure('proxy-failed');
    assert.match(failure?.message ?? '', new RegExp(`^proxy 127\\.0\\.0\\.1:${proxy} answers 40[17] `));

    const elsewhere = await start(t, sshd, { entry: { ...entry, user: null, passwordFile: null } });
    const message = (await elsewhere.tunnel.untilFailure('proxy-failed')).failure?.message ?? '';
    assert.match(message, / answers 407 .*proxyPasswordFile/);
  });

  test('fails when the HTTP proxy does not allow the port', async (t) => {
    const sshd = await server(t);
    const proxy = await startTinyproxy(t, 1);
    writeFileSync(join(sshd.dir, 'password'), 'secret\n', { mode: 0o600 });
    const entry: Entry = {
      type: 'http',
      host: '127.0.0.1',
      port: proxy,
      user: 'me',
      passwordFile: join(sshd.dir, 'password'),
    };
    const { tunnel } = await start(t, sshd, { entry });
    assert.match((await tunnel.untilFailure('proxy-failed')).failure?.message ?? '', / answers 403 /);
  });

  test('connects by SOCKS 5, with a password from a file, and lets the proxy resolve the name', async (t) => {
    const sshd = await server(t);
    const passwordFile = join(sshd.dir, 'password');
    writeFileSync(passwordFile, 'secret\n', { mode: 0o600 });
    const proxy = await startMicrosocks(t, ['-u', 'me', '-P', 'secret']);
    const entry: Entry = { type: 'socks5', host: '127.0.0.1', port: proxy, user: 'me', passwordFile };
    const { tunnel, port } = await start(t, sshd, { entry, host: 'localhost', hostKeyAlias: 'relay' });
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'hello'), 'hello');
    sshd.killSessions();
    await until(() => tunnel.phases.filter((phase) => phase === 'up').length === 2, { what: 'the tunnel again' });

    writeFileSync(passwordFile, 'wrong\n');
    const refused = await start(t, sshd, { entry });
    assert.match(
      (await refused.tunnel.untilFailure('proxy-failed')).failure?.message ?? '',
      /refused the connection: /,
    );
    const closed = await start(t, sshd, { entry, port: 1 });
    writeFileSync(passwordFile, 'secret\n');
    assert.match((await closed.tunnel.untilFailure('proxy-failed')).failure?.message ?? '', /refused the connection: /);
  });

  test('fails nobody who waits for a turn when a tunnel stops before its proxy has answered', async (t) => {
    const sshd = await server(t);
    const visitors: Socket[] = [];
    const proxy = createServer((socket) => visitors.push(socket.on('error', () => {})));
    const port = await listen(proxy);
    t.after(() => proxy.close());
    const entry: Entry = { type: 'http', host: '127.0.0.1', port, user: null, passwordFile: null };
    const real = createTurns({ clock: systemClock, random: Math.random, icmpRefusals: () => null });
    let asked = 0;
    const turns: Turns = {
      hosts: real.hosts,
      nextAt: (...claim) => real.nextAt(...claim),
      untilAnswered: (...place) => real.untilAnswered(...place),
      onSooner: (listener) => real.onSooner(listener),
      take: (...claim) => {
        asked += 1;
        return real.take(...claim);
      },
    };
    const [first, second] = await Promise.all(
      [1, 2].map(async () => specFor(sshd, [[await freePort(), 1]], { entry, sourcePort: 'any' })),
    );
    const stopped = startTunnel(t, first!, { device: { turns } });
    await until(() => visitors.length === 1, { what: 'the first at the proxy' });
    const waiting = startTunnel(t, second!, { device: { turns } });
    await until(() => asked === 2, { what: 'the second to wait' });
    await stopped.stop();
    await until(() => visitors.length === 2, { what: 'the second at the proxy' });
    assert.equal(waiting.state().failure, null);
  });

  test('fails when a proxy is silent, absent, or no proxy', async (t) => {
    const sshd = await server(t);
    const silent = await startRelay({ port: sshd.port });
    t.after(() => silent.close());
    silent.drop();
    const at = (port: number, type: 'http' | 'socks5'): Entry => ({
      type,
      host: '127.0.0.1',
      port,
      user: null,
      passwordFile: null,
    });
    const closed = await freePort();
    for (const type of ['http', 'socks5'] as const) {
      const hanging = await start(t, sshd, { entry: at(silent.port, type), connectTimeoutMs: 1000 });
      assert.match(
        (await hanging.tunnel.untilFailure('proxy-failed')).failure?.message ?? '',
        /did not answer within \d s/,
      );
      const wrong = await start(t, sshd, { entry: at(sshd.port, type) });
      await wrong.tunnel.untilFailure('proxy-failed');
      const absent = await start(t, sshd, { entry: at(closed, type) });
      const { failure } = await absent.tunnel.untilFailure('proxy-failed');
      assert.match(failure?.message ?? '', new RegExp(`^the proxy cannot be reached: 127\\.0\\.0\\.1:${closed}`));
    }
  });

  test('goes through a proxy and then a jump when both are configured', async (t) => {
    const [gate, sshd] = await Promise.all([server(t), server(t)]);
    const proxy = await startMicrosocks(t);
    const entry: Entry = { type: 'socks5', host: '127.0.0.1', port: proxy, user: null, passwordFile: null };
    const { tunnel, port } = await start(t, sshd, { entry, jumps: [serverSpec(gate)] });
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'both'), 'both');
  });
});

describe('compression', { concurrency: 2 }, () => {
  test('compresses both ways when compression is on', async (t) => {
    const sshd = await server(t, { config: ['Compression yes'] });
    const relay = await startRelay({ port: sshd.port });
    t.after(() => relay.close());
    const { tunnel, port } = await start(t, sshd, { compression: true, port: relay.port });
    await tunnel.untilPhase('up');
    const big = 'the same again. '.repeat(200_000);
    assert.equal(await visit(port, big), big);
    assert.ok(relay.bytesUp() < big.length / 4, `${relay.bytesUp()} bytes up`);
  });

  test('goes uncompressed when the server has no compression', async (t) => {
    const sshd = await server(t, { config: ['Compression no'] });
    const { tunnel, port } = await start(t, sshd, { compression: true });
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'plain'), 'plain');
  });

  test('takes nothing with it when a connection dies in the middle of much writing', async (t) => {
    const bugs: unknown[] = [];
    const onBug = (error: unknown) => bugs.push(error);
    process.on('uncaughtException', onBug);
    t.after(() => process.off('uncaughtException', onBug));
    const sshd = await server(t, { config: ['Compression yes'] });
    const { tunnel, port } = await start(t, sshd, { compression: true });
    for (let round = 1; round <= 5; round += 1) {
      await until(() => tunnel.state().phase === 'up', { what: 'the tunnel' });
      const pouring = Array.from({ length: 5 }, () => visit(port, 'y'.repeat(4_000_000)).catch(() => ''));
      await until(() => tunnel.state().forwards[0]!.counters.bytesOut > round * 500_000, { what: 'a flow' });
      const before = tunnel.phases.length;
      sshd.killSessions();
      await Promise.all(pouring);
      await until(() => tunnel.phases.length > before, { what: 'the loss' });
      await until(() => tunnel.state().phase !== 'up', { what: 'the end' });
      tunnel.retryNow();
    }
    await tunnel.untilPhase('up');
    assert.equal(await visit(port, 'alive'), 'alive');
    assert.deepEqual(bugs, []);
    assert.deepEqual(
      tunnel.lines.filter((line) => line['code'] === 'internal'),
      [],
    );
  });
});

async function server(t: TestContext, options: SshdOptions = {}): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

/** A server to go through. */
function serverSpec(sshd: TestSshd): ServerSpec {
  return specFor(sshd, [[0, 1]]);
}

async function start(
  t: TestContext,
  sshd: TestSshd,
  changes: Partial<TunnelSpec>,
  options: TestTunnelOptions = {},
): Promise<{ tunnel: TestTunnel; port: number }> {
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const spec = specFor(sshd, [[port, echo.port]], changes);
  if (spec.hostKeyAlias !== null) {
    const file = join(sshd.dir, 'known_hosts-alias');
    writeFileSync(file, sshd.knownHostsLine(spec.hostKeyAlias, 22));
    return { tunnel: startTunnel(t, { ...spec, userKnownHostsFiles: [file] }, options), port };
  }
  return { tunnel: startTunnel(t, spec, options), port };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

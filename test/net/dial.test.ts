import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { sleep, systemClock, type Clock } from '../../src/lib/async/clock.ts';
import { dial, type DialSpec } from '../../src/net/dial.ts';
import { dialTarget } from '../../src/net/dial-target.ts';
import { TunnelFailure, type FailureCode } from '../../src/model/failure.ts';
import { systemLookup, type Lookup } from '../../src/net/addresses/resolve-host.ts';
import { fakeClock } from '../support/clock.ts';
import { startEcho } from '../support/echo.ts';
import { listen } from '../support/listen.ts';
import { testTurns } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { startBlackHole } from '../support/black-hole.ts';

const patient = new AbortController().signal;
const spec: DialSpec = {
  host: 'relay.example',
  port: 0,
  addressFamily: 'any',
  bindAddress: null,
  bindInterface: null,
  tcpKeepAlive: true,
  connectLimit: null,
};

const deps = { clock: systemClock, turns: testTurns() };

/** A name server that knows one name. */
const answers =
  (...addresses: readonly string[]): Lookup =>
  () =>
    Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));

const fails = (code: string) => (): Promise<never> => Promise.reject(Object.assign(new Error('getaddrinfo'), { code }));
const never: Lookup = () => new Promise(() => {});

describe('addresses', { concurrency: 4 }, () => {
  test('tries addresses in turn when the first refuses', async (t) => {
    const echo = await echoFor(t);
    const socket = await dialled(t, { ...spec, port: echo }, 5000, answers('127.0.0.2', '127.0.0.3', '127.0.0.1'));
    assert.equal(socket.remoteAddress, '127.0.0.1');
  });

  test('tries another address beside one that swallows packets, and first from then on when that answered', async (t) => {
    const hole = await startBlackHole(t, '127.0.0.2');
    const server = createServer();
    await listen(server, '127.0.0.1', hole.port);
    t.after(() => server.close());
    const lookup = answers('127.0.0.2', '127.0.0.1');
    const started = performance.now();
    const to = { ...spec, host: 'eyeballs.example', port: hole.port };
    const socket = await dialled(t, to, 60_000, lookup);
    assert.equal(socket.remoteAddress, '127.0.0.1');
    assert.ok(performance.now() - started >= 245, 'the first had its chance');
    assert.ok(performance.now() - started < 20_000, 'not the first one’s share of the time');
    assert.deepEqual(deps.turns.hosts.ordered(to.host, ['127.0.0.2', '127.0.0.1']), ['127.0.0.1', '127.0.0.2']);
  });

  test('tries those of a target in the same way, and reports the most telling failure', async (t) => {
    const hole = await startBlackHole(t, '127.0.0.2');
    const server = createServer();
    await listen(server, '127.0.0.1', hole.port);
    t.after(() => server.close());
    const lookup = answers('fd00::dead', '127.0.0.2', '127.0.0.1');
    const target = { type: 'tcp', host: 'target.example', port: hole.port } as const;
    const reach = async (clock: Clock) => {
      const socket = await dialTarget(
        target,
        { connectTimeoutMs: 600_000, addressFamily: 'any' },
        clock,
        patient,
        lookup,
      );
      t.after(() => socket.destroy());
      return socket.remoteAddress;
    };
    assert.equal(await reach(systemClock), '127.0.0.1');
    // It comes first from then on: only once is it decided when the next one is tried.
    let next = 0;
    const timer: Clock['timer'] = (ms, fire) => {
      if (ms < 600_000) next += 1;
      return systemClock.timer(ms, fire);
    };
    assert.equal(await reach({ ...systemClock, timer }), '127.0.0.1');
    assert.equal(next, 1);
    const failed = (...addresses: readonly string[]) =>
      dialTarget(
        { ...target, host: 'nobody.example' },
        { connectTimeoutMs: 600_000, addressFamily: 'any' },
        systemClock,
        patient,
        answers(...addresses),
      );
    await assert.rejects(failed('fd00::dead', '127.0.0.3'), { message: `nobody.example:${hole.port}: ECONNREFUSED` });
  });

  test('looks the name up anew at each attempt', async (t) => {
    const echo = await echoFor(t);
    let moved = false;
    const lookup: Lookup = () => answers(moved ? '127.0.0.1' : '127.0.0.2')('', 0);
    await assert.rejects(dialled(t, { ...spec, port: echo }, 5000, lookup), { code: 'connect-refused' });
    moved = true;
    await dialled(t, { ...spec, port: echo }, 5000, lookup);
  });

  test('names each address in the message, and the most telling code, when all fail', async (t) => {
    const hole = await startBlackHole(t, '127.0.0.2');
    const failure = await failureOf({ ...spec, port: hole.port }, 1000, answers('127.0.0.2', '127.0.0.3', '::1'));
    assert.equal(failure.code, 'connect-refused');
    assert.match(failure.message, /127\.0\.0\.2:\d+: did not answer within \d s/);
    assert.match(failure.message, /127\.0\.0\.3:\d+: ECONNREFUSED/);
    assert.match(failure.message, /\[::1\]:\d+: E/);
  });

  test('waits for an address whose turn comes later when the others fail', async () => {
    const clock = fakeClock();
    const turns = testTurns(clock);
    const waits: number[] = [];
    // TCP to the broadcast address is refused by the kernel; nothing is sent, so that its turn is always now.
    const lookup = answers('255.255.255.255', '127.0.0.2');
    const to = { ...spec, host: 'both.example', port: await freePort() };
    const knock = () =>
      dial(to, 10_000, { clock, turns, lookup, onWait: (at) => waits.push(at - clock.now()), request: claim }, patient);
    const claim = { loginHistory: 'proven', urgent: false, since: 0 } as const;
    const codes: string[] = [];
    for (let knocks = 0; knocks < 4; knocks += 1) {
      let over = false;
      const failed = knock().catch((error: unknown) => {
        codes.push((error as TunnelFailure).code);
        over = true;
      });
      await until(() => clock.advance(100).then(() => over), { what: 'a failure' });
      await failed;
    }
    assert.deepEqual(codes, Array(4).fill('connect-refused'));
    let answered = false;
    const steady = assert.rejects(knock(), { code: 'connect-refused' }).finally(() => (answered = true));
    waits.length = 0;
    await until(() => clock.advance(100).then(() => waits.length > 0), { what: 'a word that it waits' });
    assert.ok(waits[0]! > 0 && waits[0]! <= 16_300 - 10_000, `${waits[0]} ms`);
    await until(() => clock.advance(100).then(() => answered), { what: 'an answer' });
    await steady;
    assert.equal(clock.pending(), 0);
  });

  test('fails with a time-out when no address answers', async (t) => {
    const hole = await startBlackHole(t);
    const started = performance.now();
    const failure = await failureOf({ ...spec, port: hole.port }, 600, answers('127.0.0.1'));
    assert.equal(failure.code, 'connect-timeout');
    assert.ok(performance.now() - started >= 590);
  });

  test('fails with network-unreachable when there is no route', async () => {
    // TCP to the broadcast address is refused by the kernel; nothing is sent.
    assert.equal((await failureOf({ ...spec, port: 22 }, 5000, answers('255.255.255.255'))).code, 'unreachable');
  });
});

describe('names', { concurrency: 4 }, () => {
  test('fails when the name is unknown', async () => {
    const failure = await failureOf(spec, 5000, fails('ENOTFOUND'));
    assert.deepEqual([failure.code, failure.message], ['dns-failed', 'cannot resolve relay.example: ENOTFOUND']);
    assert.equal((await failureOf({ ...spec, host: 'a..b' }, 5000, systemLookup)).code, 'dns-failed');
  });

  test('fails when the time is used up by a name server that is silent', async () => {
    const clock = fakeClock();
    const failed = assert.rejects(dial(spec, 10_000, { clock, turns: testTurns(clock), lookup: never }, patient), {
      code: 'dns-failed',
      message: 'looking up relay.example took longer than 10 s',
    });
    await clock.advance(10_000);
    await failed;
    assert.equal(clock.pending(), 0);
  });

  test('gives the connection only what is left when the look-up has taken time', async (t) => {
    const hole = await startBlackHole(t);
    const clock = fakeClock();
    const slow: Lookup = async (...query) => {
      await sleep(clock, 7000, patient);
      return answers('127.0.0.1')(...query);
    };
    const dialling = dial(
      { ...spec, port: hole.port },
      10_000,
      { clock, turns: testTurns(clock), lookup: slow },
      patient,
    );
    const failed = assert.rejects(dialling, { code: 'connect-timeout' });
    await clock.advance(7000);
    await until(() => clock.pending() > 0, { what: 'the connection' });
    // Not the whole ten seconds again.
    await clock.advance(3000);
    await failed;
    assert.equal(clock.pending(), 0);
  });

  test('waits for the first answer when a name is being looked up already', async () => {
    const first = systemLookup('localhost', 4);
    assert.equal(systemLookup('localhost', 4), first);
    assert.notEqual(systemLookup('localhost', 0), first);
    await first;
    assert.notEqual(systemLookup('localhost', 4), first);
  });
});

describe('families and our own address', () => {
  test('chooses among the addresses by addressFamily', async (t) => {
    const echo = await echoFor(t);
    const both = answers('::1', '127.0.0.1');
    const socket = await dialled(t, { ...spec, port: echo, addressFamily: 'inet' }, 5000, both);
    assert.equal(socket.remoteAddress, '127.0.0.1');
    const six = await failureOf({ ...spec, port: await freePort(), addressFamily: 'inet6' }, 5000, both);
    assert.doesNotMatch(six.message, /127\.0\.0\.1/);
  });

  test('does not use an address when it is of the other family', async () => {
    for (const [host, addressFamily] of [
      ['::1', 'inet'],
      ['127.0.0.1', 'inet6'],
    ] as const) {
      const failure = await failureOf({ ...spec, host, addressFamily, port: 1 }, 5000, systemLookup);
      assert.equal(failure.code, 'dns-failed');
      assert.match(failure.message, new RegExp(`no IPv[46] address \\(addressFamily: ${addressFamily}\\)`));
    }
  });

  test('comes from bindAddress, which chooses the family, when one is set', async (t) => {
    const echo = await echoFor(t);
    const bound = { ...spec, port: echo, bindAddress: '127.0.0.9' };
    const socket = await dialled(t, bound, 5000, answers('::1', '127.0.0.1'));
    assert.equal(socket.localAddress, '127.0.0.9');
  });

  test('names an address when it is not ours', async () => {
    const failure = await failureOf({ ...spec, port: 1, bindAddress: '203.0.113.7' }, 5000, answers('127.0.0.1'));
    assert.equal(failure.code, 'unreachable');
    assert.match(failure.message, /bindAddress: 203\.0\.113\.7.*EADDRNOTAVAIL/);
  });
});

describe('given up', { concurrency: 4 }, () => {
  for (const [what, lookup] of [
    ['the look-up', never],
    ['the connection', answers('127.0.0.1')],
  ] as const) {
    test(`ends at once when it is given up during ${what}`, async (t) => {
      const hole = await startBlackHole(t);
      const controller = new AbortController();
      const gone = new Error('enough');
      const dialling = dial({ ...spec, port: hole.port }, 60_000, { ...deps, lookup }, controller.signal);
      setTimeout(() => controller.abort(gone), 50);
      await assert.rejects(dialling, gone);
      await assert.rejects(dial(spec, 1000, { ...deps, lookup }, controller.signal), gone);
    });
  }

  test('opens a socket without delay, which is ours alone', async (t) => {
    const connections: Socket[] = [];
    const server = createServer((socket) => connections.push(socket));
    const port = await listen(server);
    t.after(() => server.close());
    const socket = await dialled(t, { ...spec, port }, 5000, answers('127.0.0.1', '127.0.0.1'));
    await until(() => connections.length === 1, { what: 'one connection' });
    // Nobody listens for errors yet: one that comes now must not end the process.
    connections[0]?.resetAndDestroy();
    await until(() => socket.destroyed, { what: 'the end of the socket' });
  });
});

async function echoFor(t: TestContext): Promise<number> {
  const echo = await startEcho();
  t.after(() => echo.close());
  return echo.port;
}

async function dialled(t: TestContext, to: DialSpec, timeoutMs: number, lookup: Lookup): Promise<Socket> {
  const { socket } = await dial(to, timeoutMs, { ...deps, lookup }, patient);
  t.after(() => socket.destroy());
  return socket;
}

async function failureOf(
  to: DialSpec,
  timeoutMs: number,
  lookup: Lookup,
): Promise<{ code: FailureCode; message: string }> {
  try {
    (await dial(to, timeoutMs, { ...deps, lookup }, patient)).socket.destroy();
  } catch (error) {
    assert.ok(error instanceof TunnelFailure, String(error));
    return error;
  }
  return assert.fail('it connected');
}

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createEmitter } from '../../../src/lib/async/emitter.ts';
import { type Clock, systemClock } from '../../../src/lib/async/clock.ts';
import {
  ownershipOf,
  type OwnerRecord,
  type OwnerMemory,
  ownersAt,
  isAnother,
  type Machine,
  withOther,
} from '../../../src/forwarding/listeners/owners.ts';
import { ownKeys } from '../../../src/forwarding/verify/own-keys.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { startEcho } from '../../support/echo.ts';
import { listen } from '../../support/listen.ts';
import { type SkippingClock, skippingClock } from '../../support/skipping-clock.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { ownerMemory, specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { scaledClock } from '../../support/scaled-clock.ts';
import { visit } from '../../support/visit.ts';

const ONE: Machine = { id: 'one', hostKeys: ['a', 'b'], hardware: ['x'] };
const TWO: Machine = { id: 'two', hostKeys: ['a', 'b'], hardware: ['y'] };

test('knows another machine by each of its parts, and by none that is not known', () => {
  const cases: readonly (readonly [Partial<Machine>, boolean])[] = [
    [{}, false],
    [{ id: 'two' }, true],
    [{ id: null }, false],
    [{ hostKeys: ['b', 'c'] }, false],
    [{ hostKeys: ['c'] }, true],
    [{ hostKeys: [] }, false],
    [{ hardware: ['x', 'y'] }, false],
    [{ hardware: ['y'] }, true],
    [{ id: null, hostKeys: [], hardware: [] }, false],
  ];
  for (const [change, another] of cases) {
    assert.equal(isAnother(ONE, { ...ONE, ...change }), another, JSON.stringify(change));
    assert.equal(isAnother({ ...ONE, ...change }, ONE), another, JSON.stringify(change));
  }
});

test('bars the one that never had a listener, and a copy of the one that had, when another was seen there', () => {
  const mine: OwnerRecord = { held: true, machine: ONE, other: null };
  const old: OwnerRecord = { held: true, machine: null, other: null };
  const other = { type: 'other', who: 'it says x', answered: true, alive: true, hostKey: null, own: false } as const;
  const seen = {
    device: { ...other, hostKey: 'SHA256:x' },
    self: { ...other, hostKey: 'SHA256:y', own: true },
    program: other,
    silent: { ...other, answered: false, alive: false },
  };
  const cases: readonly (readonly [string, OwnerRecord | null, Machine, string])[] = [
    ['never had', null, ONE, 'device'],
    ['had', mine, ONE, ''],
    ['had, before there was a memory', old, TWO, ''],
    ['copied', mine, TWO, 'device self program'],
  ];
  for (const [what, record, machine, bars] of cases) {
    const found = Object.entries(seen).filter(([, sight]) => withOther(record, machine, sight, 'today') !== null);
    assert.equal(found.map(([name]) => name).join(' '), bars, what);
    assert.equal(ownershipOf(record, machine).type, what === 'copied' ? 'copied' : 'free', what);
    for (const [, sight] of found) {
      const barred = withOther(record, machine, sight, 'today');
      assert.equal(ownershipOf(barred, machine).type, 'barred');
      assert.equal(withOther(barred, machine, sight, 'tomorrow'), null);
    }
  }
});

test('leaves open whether another key is its own when the target did not show its key in time', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const hangs = createServer((socket) => void socket.on('error', () => {}).write('SSH-2.0-OpenSSH_9.9\r\n'));
  const target = await listen(hangs);
  t.after(() => hangs.close());
  const key = Buffer.from('key');
  const deps = { clock: scaledClock(20), hostKeys: () => Promise.resolve([key]) };
  const cases: readonly (readonly [number, number, boolean])[] = [
    [target, 1, false],
    [await freePort(), 1, true],
    [sshd.port, 2, true],
  ];
  for (const [port, count, complete] of cases) {
    const spec = specFor(sshd, [[1, port]]);
    const { signal } = new AbortController();
    const found = await ownKeys(
      spec,
      spec.forwards[0]!.listen,
      'ssh-ed25519',
      { ...deps, ...(complete ? { clock: systemClock } : {}) },
      signal,
    );
    assert.deepEqual([found.keys.length, found.complete], [count, complete]);
  }
});

describe('a listener of another device', { concurrency: 4 }, () => {
  test('is not taken when it comes free, before or after a new start, but when a person says so; its owner takes it again', async (t) => {
    const world = await start(t);
    const first = await world.device('first');
    await first.run().untilPhase('up');
    const second = await world.device('second');
    let tunnel = second.run();
    const refused = async () => {
      const barred =
        /^localhost:\d+ leads to another device \(SSH host key SHA256:\S{43}, seen on 2026-01-31\), and this tunnel never had it: it is not taken, even when it comes free\. Choose another port, or take it with tunneld retry second --take$/;
      await until(() => barred.test(tunnel.state().failure?.message ?? ''), {
        what: () => `the finding, not ${tunnel.state().failure?.message}`,
      });
      const [forward] = tunnel.state().forwards;
      assert.deepEqual([tunnel.state().phase, forward?.refusal, forward?.verified], ['forwarding', 'in-use', 'no']);
    };
    await refused();
    await first.stop();
    await world.outage();
    await tunnel.stop();
    tunnel = second.run();
    await refused();
    await world.outage();

    await first.run().untilPhase('up');
    await first.stop();
    second.take();
    await tunnel.untilPhase('up');
    // Robbed, but it had it before.
    const back = first.run();
    await back.untilFailure('forward-refused');
    await tunnel.stop();
    await back.untilPhase('up');
  });

  test('is one of this device when its target answers there: another program that goes where this tunnel would', async (t) => {
    const world = await start(t);
    const first = await world.device('first');
    await first.run().untilPhase('up');
    const same = await world.device('same', { like: first });
    const tunnel = same.run();
    const { failure } = await tunnel.untilFailure('forward-refused');
    assert.match(failure?.message ?? '', /an SSH server with this device's own host key: another tunnel of it lives/);
    await first.stop();
    await tunnel.untilPhase('up');
  });
});

describe('a machine with a copy of the state', { concurrency: 4 }, () => {
  for (const target of ['ssh', 'echo'] as const) {
    test(`stays out when the ${target} of the one that had the listener lives`, async (t) => {
      const world = await start(t);
      const card = await world.device('card', { target, machine: ONE });
      await card.run().untilPhase('up');
      const copy = await world.device('card', { like: card, machine: TWO });
      const tunnel = copy.run();
      const barred = /leads to the machine that had it before .* of which this one has a copy: it is not taken/;
      await until(() => barred.test(tunnel.state().failure?.message ?? ''), { what: 'the finding' });
      assert.ok(copy.forgotten() > 0, 'its source port is the same');
      await card.stop();
      await world.outage();
      assert.ok(!tunnel.phases.includes('up'));
      await card.run().untilPhase('up');
    });
  }

  test('takes the place of a device that has gone when none was seen there for a while', async (t) => {
    const world = await start(t);
    const old = await world.device('board', { machine: ONE });
    await old.run().untilPhase('up');
    await old.stop();
    const board = await world.device('board', { like: old, machine: TWO });
    const clock = skippingClock();
    const tunnel = board.run(clock);
    assert.match(
      (await tunnel.untilFailure('forward-refused')).failure?.message ?? '',
      /^this machine is not the one that had localhost:\d+ .* at once with tunneld retry board --take$/,
    );
    await untilSure(clock, tunnel);
    await tunnel.untilPhase('up');
    await tunnel.stop();
    // Now it is the one.
    const again = board.run();
    await again.untilPhase('up');
    assert.equal(again.state().failure, null);
  });

  test('takes the place of one whose dead connection the server holds, and at once when a person says so', async (t) => {
    const world = await start(t);
    const old = await world.device('board', { machine: ONE });
    await old.run().untilPhase('up');
    await old.stop();
    // As a client that is gone, it does not end what the other side has ended.
    const dead = createServer({ allowHalfOpen: true });
    await listen(dead, '127.0.0.1', world.port);
    t.after(() => dead.close());
    const board = await world.device('board', { like: old, machine: TWO });
    const clock = skippingClock();
    const tunnel = board.run(clock);
    // At one that says nothing each look takes its time.
    await untilSure(clock, tunnel, 3);
    await until(
      () =>
        tunnel.state().failure?.message.includes('refused to listen') === true ||
        tunnel.state().forwards[0]?.refusal === 'in-use' ||
        // Where it was granted on one of the two addresses, and a slow server did not show the other.
        tunnel.state().phase === 'up',
      {
        what: () => `a request, not ${JSON.stringify(tunnel.state())}`,
      },
    );
    dead.close();
    await tunnel.untilPhase('up');
    await tunnel.stop();

    const other = await world.device('board', { like: old, machine: TWO });
    const impatient = other.run();
    await impatient.untilFailure('forward-refused');
    other.take();
    await impatient.untilPhase('up');
  });
});

/** A server with one port that all devices want. */
async function start(t: TestContext) {
  const relay = await startSshd();
  t.after(() => relay.stop());
  const port = await freePort();
  const spec = specFor(relay, [[port, 1]]);
  const endpoint: Endpoint = { type: 'tcp', host: 'localhost', port };
  return {
    port,
    /** Long enough for all who ask to get it; nobody has it in the end. */
    outage: async () => {
      await wait(3000);
      await assert.rejects(visit(port, 'anybody?'), { code: 'ECONNREFUSED' });
    },
    device: async (name: string, options: DeviceOptions = {}): Promise<Device> => {
      const target = options.like?.target ?? (await startTarget(t, options.target ?? 'ssh'));
      const memory = copyOf(options.like?.memory, endpoint, spec.user, relay);
      const taken = createEmitter();
      const owners = ownersAt(`${spec.user}@${spec.host}:${spec.port}`, {
        memory,
        machine: options.machine ?? ONE,
        day: () => '2026-01-31',
      });
      let forgotten = 0;
      let running: TestTunnel | null = null;
      return {
        target,
        memory,
        forgotten: () => forgotten,
        run: (clock = systemClock) =>
          (running = startTunnel(
            t,
            {
              ...spec,
              name,
              sourcePort: 'sticky',
              forwards: [
                { kind: 'remote', listen: endpoint, target: { type: 'tcp', host: '127.0.0.1', port: target } },
              ],
            },
            {
              clock,
              device: {
                owners: () => owners,
                onTaken: taken.subscribe,
                sourcePorts: () => ({
                  preferred: () => 0,
                  fresh: () => 0,
                  used: () => {},
                  earlier: () => [],
                  forget: () => void (forgotten += 1),
                  evicted: () => {},
                }),
              },
            },
          )),
        stop: async () => await running?.stop(),
        take: () => {
          owners.rememberOurs(endpoint);
          taken.emit();
        },
      };
    },
  };
}

interface DeviceOptions {
  readonly target?: 'ssh' | 'echo';
  readonly machine?: Machine;
  /** Has the same target, and a copy of what this one remembers. */
  readonly like?: Device;
}

interface Device {
  /** The port of its target. */
  readonly target: number;
  readonly memory: OwnerMemory;
  /** How often it forgot its source ports. */
  forgotten(): number;
  /** Starts its tunnel. */
  run(clock?: Clock): TestTunnel;
  stop(): Promise<void>;
  take(): void;
}

async function startTarget(t: TestContext, kind: 'ssh' | 'echo'): Promise<number> {
  if (kind === 'echo') {
    const echo = await startEcho();
    t.after(() => echo.close());
    return echo.port;
  }
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  return sshd.port;
}

function copyOf(
  memory: OwnerMemory | undefined,
  endpoint: Extract<Endpoint, { type: 'tcp' }>,
  user: string,
  relay: TestSshd,
): OwnerMemory {
  const copy = ownerMemory();
  const key = `${user}@127.0.0.1:${relay.port} ${endpoint.host}:${endpoint.port}`;
  const known = memory?.recall(key) ?? null;
  if (known !== null) copy.remember(key, known);
  return copy;
}

/** The tunnel looks every half minute, and after two minutes without a sign of life it is sure; the time of some looks may just pass. */
async function untilSure(clock: SkippingClock, tunnel: TestTunnel, notLooked = 0): Promise<void> {
  await tunnel.untilFailure('forward-refused');
  for (let looks = 1; looks <= 4 - notLooked; looks += 1) {
    await until(() => clock.skip(30_000) > 0, { what: () => `look ${looks}, but it is ${tunnel.state().phase}` });
    if (looks === 1) clock.pass(notLooked * 30_000);
  }
}

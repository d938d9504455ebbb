import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { createConnectionPool } from '../../../src/connection/shared/connection-pool.ts';
import { type Member, SharedConnection } from '../../../src/connection/shared/shared-connection.ts';
import type { Channel, SshConnection, Visitor } from '../../../src/connection/ssh/connection.ts';
import { deferred } from '../../../src/lib/async/abort.ts';
import { TunnelFailure } from '../../../src/model/failure.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { STATIC_DEVICE } from '../../../src/net/device.ts';
import type { Transport } from '../../../src/net/transport.ts';
import {
  isLate,
  learnShort,
  mustNotShare,
  seekShare,
  shareAgainAt,
  type ShareHistory,
  type ShortShare,
} from '../../../src/tunnel/seek-share.ts';
import { fakeClock } from '../../support/clock.ts';

const INNOCENT: ShareHistory = { shortShares: [], shareAfter: Number.NEGATIVE_INFINITY };

describe('who shares, and when', () => {
  test('takes a turn for late when it is known to come more than two seconds later', () => {
    for (const [turnAt, late] of [
      [null, false],
      [1000, false],
      [3000, false],
      [3001, true],
      [32_000, true],
      // When others have had theirs, which no limit holds up.
      [Infinity, false],
    ] as const)
      assert.equal(isLate(turnAt, 1000), late, String(turnAt));
  });

  test('keeps a tunnel to itself when shared connections ended with it twice in a row, until one of its own has lasted', () => {
    const alone = { endedAlone: () => true };
    const withOthers = { endedAlone: () => false };
    type End = readonly [joined: typeof alone | null, heldForMs: number];
    const learn = (ends: readonly End[]) =>
      ends.reduce<readonly ShortShare[]>((known, [joined, heldForMs]) => learnShort(known, joined, heldForMs, 0), []);
    const twice: readonly End[] = [
      [alone, 1000],
      [alone, 1000],
    ];
    const cases: readonly (readonly [ends: readonly End[], keeps: boolean])[] = [
      [[], false],
      [[[alone, 1000]], false],
      [twice, true],
      [
        [
          [alone, 1000],
          [alone, 120_000],
          [alone, 1000],
        ],
        false,
      ],
      // Its own connection ends as soon: it is no better for that.
      [[...twice, [null, 5000]], true],
      [[...twice, [null, 60_000]], false],
      // The server went away.
      [
        [
          [withOthers, 1000],
          [withOthers, 1000],
        ],
        false,
      ],
      [
        [
          [withOthers, 1000],
          [alone, 1000],
        ],
        false,
      ],
      [[...twice, [withOthers, 1000]], true],
    ];
    for (const [ends, keeps] of cases) assert.equal(mustNotShare(learn(ends)), keeps, JSON.stringify(ends));
  });

  test('takes a connection to have ended alone when no other with its login ended within two seconds of it', async () => {
    for (const [what, secondsLater, otherLogin, alone] of [
      ['one after the other', [0, 1.5, 3], 'login', [false, false, false]],
      ['long after the other', [0, 2.1], 'login', [true, true]],
      ['those of another login', [0, 0], 'another', [true, true]],
    ] as const) {
      const clock = fakeClock();
      const pool = createConnectionPool(clock);
      const joined = secondsLater.map((after, index) => {
        const login = index === 0 ? 'login' : otherLogin;
        const { shared } = setUp();
        const end = pool.offer(login, shared);
        const share = pool.join(login, member('b').member);
        pool.retire();
        clock.timer(after * 1000, end);
        return share ?? assert.fail('no share');
      });
      assert.ok(
        joined.every((share) => !share.endedAlone(Infinity)),
        'they live',
      );
      await clock.advance(10_000);
      assert.deepEqual(
        joined.map((share) => share.endedAlone(Infinity)),
        alone,
        what,
      );
      const [first] = joined;
      assert.equal(first?.endedAlone(-1), false, 'it was left before');
    }
  });

  test('looks when the turn is late and when a connection is offered, and no more once the turn has come', async () => {
    for (const [events, joins] of [
      ['late offer', true],
      ['offer late', true],
      ['soon offer', false],
      ['late turn offer', false],
      ['late end offer', false],
    ] as const) {
      const { clock, shared } = setUp();
      const pool = createConnectionPool(clock);
      const seeker = seekShare('login', pool, clock, INNOCENT);
      let joined = false;
      void seeker.join(member('b').member).then(() => (joined = true));
      const happen: Readonly<Record<string, () => unknown>> = {
        late: () => seeker.turnAt(31_000),
        soon: () => seeker.turnAt(1500),
        turn: () => seeker.turnAt(null),
        offer: () => pool.offer('login', shared),
        end: () => seeker.end(),
      };
      for (const event of events.split(' ')) happen[event]?.();
      await clock.advance(0);
      assert.equal(joined, joins, events);
    }
  });

  test('joins no connection within two seconds of the end of a shared one: those of a leaving server end one by one', async () => {
    const { clock, shared } = setUp();
    const pool = createConnectionPool(clock);
    pool.offer('login', shared);
    const seeker = seekShare('login', pool, clock, { ...INNOCENT, shareAfter: shareAgainAt(true, clock.now()) });
    let joined = false;
    void seeker.join(member('b').member).then(() => (joined = true));
    seeker.turnAt(31_000);
    await clock.advance(1999);
    assert.equal(joined, false);
    await clock.advance(1);
    assert.equal(joined, true);

    // The end of a connection of its own says nothing of the others.
    const again = seekShare('login', pool, clock, { ...INNOCENT, shareAfter: shareAgainAt(false, clock.now()) });
    again.turnAt(90_000);
    await again.join(member('c').member);

    const guilty = { ...INNOCENT, shortShares: [() => true, () => true] };
    const keeps = seekShare('login', pool, clock, guilty);
    let wrong = false;
    void keeps.join(member('e').member).then(() => (wrong = true));
    keeps.turnAt(90_000);
    await clock.advance(0);
    assert.equal(wrong, false);
    keeps.end();

    const ended = seekShare('login', pool, clock, { ...INNOCENT, shareAfter: shareAgainAt(true, clock.now()) });
    ended.turnAt(90_000);
    void ended.join(member('d').member);
    const timers = clock.pending();
    ended.end();
    assert.equal(clock.pending(), timers - 1);
  });

  test('gives the connection that carries the fewest, for this login alone, until that is over or retired', () => {
    const pool = createConnectionPool(fakeClock());
    const [one, other] = [setUp(), setUp()];
    one.shared.join(member('a').member);
    const takeBack = pool.offer('login', one.shared);
    pool.offer('login', other.shared);
    assert.ok(pool.join('login', member('b').member));
    assert.deepEqual([one.shared.size(), other.shared.size()], [1, 1]);
    assert.equal(pool.has('another'), false);
    pool.retire();
    assert.equal(pool.has('login'), false);
    takeBack();
    const again = pool.offer('login', one.shared);
    assert.equal(pool.has('login'), true);
    again();
    assert.equal(pool.has('login'), false);
  });
});

describe('a shared connection', () => {
  test('gives back what is granted when the tunnel has left meanwhile', async () => {
    const { shared, server } = setUp();
    shared.join(member('a').member);
    const leaver = shared.join(member('b').member);
    const granted = deferred<number>();
    server.grant = () => granted.promise;
    const asked = leaver.connection.listen(at(0));
    await leaver.leave(false);
    granted.resolve(9000);
    await assert.rejects(asked, { code: 'disconnected' });
    assert.deepEqual(server.unlistened, [9000]);
  });

  test('gives back listeners, turns waiting visitors away and closes the channels of one that leaves, and only those', async () => {
    const { shared, server } = setUp();
    const [a, b] = [member('a'), member('b')];
    const [stays, leaves] = [shared.join(a.member), shared.join(b.member)];
    await stays.connection.listen(at(1));
    await leaves.connection.listen(at(2));
    await leaves.connection.unlisten(at(1));
    assert.deepEqual(server.unlistened, [], 'what is another’s');
    const [mine, served, waiting] = [visitor(1), visitor(2), visitor(2)];
    for (const one of [mine, served, waiting]) shared.dispatch(one);
    assert.deepEqual([a.visitors.length, b.visitors.length], [1, 2]);
    a.visitors[0]?.accept();
    b.visitors[0]?.accept();
    const opened = await leaves.connection.open(at(3), { address: '', port: 0 });
    const left = leaves.leave(true);
    const late = visitor(2);
    shared.dispatch(late);
    await left;
    assert.deepEqual([server.unlistened, late.rejected], [[2], 1]);
    assert.deepEqual([mine.channel.closed_, served.channel.closed_, waiting.rejected], [0, 1, 1]);
    assert.equal((opened as FakeChannel).closed_, 1);
    assert.equal(leaves.connection.transport.lost(), true);
    assert.equal(stays.connection.transport.lost(), false);
    assert.equal(b.visitors[1]?.hasLeft?.(), true);
    assert.throws(() => b.visitors[1]?.accept(), { code: 'disconnected' });
    await assert.rejects(leaves.connection.open(at(3), { address: '', port: 0 }), { code: 'disconnected' });
    assert.equal(server.destroyed, 0);
    await stays.cancelListeners();
    await stays.leave(true);
    assert.deepEqual([server.unlistened, server.closed, server.destroyed], [[2, 1], 1, 1]);
  });

  test('finds the tunnel a turn later when a visitor comes in one packet with the grant of a chosen port', async () => {
    const { shared } = setUp();
    const [a, b] = [member('a'), member('b')];
    shared.join(a.member);
    const share = shared.join(b.member);
    const asked = share.connection.listen(at(0));
    shared.dispatch(visitor(9000));
    await asked;
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([a.visitors.length, b.visitors.length], [0, 1]);
  });

  test('ends for all when it is lost or one finds it useless; its turn is over at once, and it takes no new tunnel', async () => {
    for (const end of ['lost', 'failed'] as const) {
      const { shared, server, over } = setUp();
      const shares = [shared.join(member('a').member), shared.join(member('b').member)];
      const failure = new TunnelFailure('keepalive-lost', 'silent');
      if (end === 'lost') server.lost.reject(failure);
      else shares[0]?.fail(failure);
      for (const { connection } of shares) await assert.rejects(connection.lost, { code: 'keepalive-lost' });
      assert.deepEqual([over(), shared.takesMore(), server.destroyed], [1, false, 1]);
      for (const share of shares) await share.leave(false);
      assert.deepEqual([over(), server.unlistened], [1, []]);
    }
  });

  test('takes no new tunnel while it is in doubt, and tells its tunnels of the doubt', async () => {
    const { clock, shared, server } = setUp();
    const members = [member('a'), member('b')];
    for (const { member } of members) shared.join(member);
    server.answers = false;
    await clock.advance(18_000);
    assert.ok(members.every(({ state }) => state().silentSince !== null));
    assert.equal(shared.takesMore(), false);
    server.heardAt = clock.now();
    await clock.advance(2000);
    assert.ok(members.every(({ state }) => state().silentSince === null));
    assert.equal(shared.takesMore(), true);
  });

  test('dials once from each of the ports of dead connections', () => {
    const { shared } = setUp();
    const [a, b] = [shared.join(member('a').member), shared.join(member('b').member)];
    assert.deepEqual([a.notYetEvicted([1, 2]), b.notYetEvicted([2, 3])], [[1, 2], [3]]);
  });
});

interface FakeChannel extends Channel {
  closed_: number;
}

function fakeChannel(): FakeChannel {
  const channel = Object.assign(new PassThrough(), { closed_: 0 });
  return Object.assign(channel, { close: () => void channel.closed_++ });
}

function visitor(port: number) {
  const channel = fakeChannel();
  const one = {
    listen: at(port),
    originator: '127.0.0.1:1',
    channel,
    rejected: 0,
    accept: () => channel,
    reject: () => void one.rejected++,
  };
  return one;
}

function at(port: number): Endpoint & { readonly type: 'tcp' } {
  return { type: 'tcp', host: 'localhost', port };
}

function member(name: string) {
  const visitors: Visitor[] = [];
  let state: ReturnType<Member['state']> = { rttMs: null, silentSince: null };
  const one: Member = {
    name,
    heartbeat: () => {},
    state: () => state,
    report: (change) => (state = { ...state, ...change }),
    onVisitor: (visitor) => void visitors.push(visitor),
  };
  return { member: one, visitors, state: () => state };
}

/** A connection whose server grants everything and answers, as long as it is not told otherwise. */
function setUp() {
  const clock = fakeClock();
  const server = {
    lost: deferred<never>(),
    unlistened: [] as number[],
    closed: 0,
    destroyed: 0,
    answers: true,
    heardAt: 0,
    grant: (endpoint: Endpoint): Promise<number> =>
      Promise.resolve(endpoint.type === 'unix' ? 0 : endpoint.port === 0 ? 9000 : endpoint.port),
  };
  const transport: Transport = {
    lost: () => false,
    cork: () => {},
    congested: () => false,
    readAtOnce: () => 1000,
    onceDrained: () => () => {},
    traffic: () => ({ heardAt: server.heardAt, bytesSent: 0, backlog: 0 }),
    addresses: null,
    direct: true,
  };
  const unused = () => assert.fail('a tunnel does not ask that');
  const connection: SshConnection = {
    lost: server.lost.promise,
    serverVersion: 'OpenSSH_9.9',
    algorithms: { keyExchange: 'curve25519-sha256', hostKey: 'ssh-ed25519', hostCertificate: null },
    transport,
    listen: (endpoint) => server.grant(endpoint),
    unlisten: (endpoint) => {
      server.unlistened.push(endpoint.type === 'tcp' ? endpoint.port : 0);
      return Promise.resolve();
    },
    open: () => Promise.resolve(fakeChannel()),
    probeSession: unused,
    openTun: unused,
    run: unused,
    idleMs: () => null,
    ping: () => {
      if (server.answers) server.heardAt = clock.now();
      return server.answers ? Promise.resolve() : new Promise(() => {});
    },
    close: () => {
      server.closed++;
      return Promise.resolve();
    },
    destroy: () => void server.destroyed++,
  };
  let overs = 0;
  const nothing = () => Promise.resolve();
  const shared = new SharedConnection(
    {
      connection,
      route: { lost: new Promise(() => {}), probe: null, close: nothing, destroy: nothing },
      spec: { serverAliveIntervalMs: 15_000, serverAliveCountMax: 3 },
      openedBy: 'a',
      login: null,
      certificate: null,
    },
    { clock, device: STATIC_DEVICE, onOver: () => void overs++ },
  );
  return { clock, server, shared, over: () => overs };
}

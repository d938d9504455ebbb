import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { takeCommandTurn } from '../../../src/net/command-turn.ts';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { createTurns, type NetworkPath, type Turn, type TurnRequest } from '../../../src/net/pacing/turns.ts';
import { fakeClock, type FakeClock } from '../../support/clock.ts';
import { hashLimit, type LimitModel, ufwLimit } from './limit-models.ts';

const PLACE: NetworkPath = { address: '192.0.2.1', port: 22, source: null };
const refusal = new TunnelFailure('connect-refused', '192.0.2.1:22: ECONNREFUSED');
const silence = new TunnelFailure('connect-timeout', '192.0.2.1:22: no answer within 10 s');

describe('turns', () => {
  test('lets one dial for all, whose failure is theirs, and a probe wait on when there is no answer', async () => {
    const { clock, ask, turns } = setUp();
    const [first, ...others] = [ask('a'), ask('b'), ask('c')];
    const answered = turns.untilAnswered(PLACE, new AbortController().signal);
    await clock.advance(0);
    assert.deepEqual([first?.state, ...others.map(({ state }) => state)], ['granted', 'waits', 'waits']);
    const told = first?.turn?.failed(refusal);
    assert.equal(told?.hint, refusal.hint);
    await answered;
    assert.deepEqual(
      others.map(({ failure }) => failure?.message),
      [refusal.message, refusal.message],
    );
    const again = ask('b');
    await clock.advance(1600);
    assert.equal(again.state, 'waits');
    await clock.advance(200);
    assert.equal(again.state, 'granted');
  });

  test('lets the one that was up before go first, then who has waited longest, at last whose login was rejected', async () => {
    const { clock, ask } = setUp();
    const busy = ask('busy');
    await clock.advance(0);
    const asked = [
      ask('rejected', { loginHistory: 'rejected', since: 0 }),
      ask('new', { loginHistory: 'new', since: 1 }),
      ask('up', { since: 5 }),
      ask('up longer', { since: 3 }),
    ];
    const order: string[] = [];
    busy.turn?.opened();
    busy.turn?.end();
    for (const _ of asked) {
      await clock.advance(0);
      const next = asked.find(({ name, state }) => state === 'granted' && !order.includes(name));
      order.push(next?.name ?? '-');
      next?.turn?.opened();
      next?.turn?.end();
    }
    assert.deepEqual(order, ['up longer', 'up', 'new', 'rejected']);
  });

  test('lets more go at a time with each login that succeeds', async () => {
    const { clock, ask } = setUp();
    const asked = Array.from({ length: 40 }, (_, index) => ask(`t${index}`));
    const widths: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      await clock.advance(0);
      const granted = asked.filter(({ state }) => state === 'granted');
      widths.push(granted.length);
      for (const one of granted) one.login();
    }
    // Up to five in half a minute nobody minds; the sixth goes alone, to see.
    assert.deepEqual(widths, [1, 2, 2, 1, 7, 8, 8]);
  });

  test('tells all who wait of a limit, and what they can do', async () => {
    const { clock, ask } = setUp();
    const asked = Array.from({ length: 8 }, (_, index) => ask(`t${index}`));
    for (let round = 0; round < 3; round += 1) {
      await clock.advance(0);
      for (const one of asked.filter(({ state }) => state === 'granted')) one.login();
    }
    await clock.advance(0);
    const sixth = asked.filter(({ state }) => state === 'granted');
    assert.equal(sixth.length, 1);
    sixth[0]?.turn?.failed(refusal);
    await clock.advance(0);
    const told = asked.filter(({ state }) => state === 'refused').map(({ failure }) => failure);
    assert.equal(told.length, 2);
    assert.match(
      told[0]?.message ?? '',
      /ECONNREFUSED; others were accepted just before, so this is most likely a limit/,
    );
    assert.match(told[0]?.hint ?? '', /limit on new connections is suspected.*connectLimit/);
    const later = ask('later', { urgent: true });
    await clock.advance(29_000);
    assert.equal(later.state, 'waits');
    await clock.advance(6000);
    assert.equal(later.state, 'granted');
    assert.equal(later.turn?.gentle, false, 'the quiet is over');
  });

  test('tells a firewall that refuses by ICMP from a port without a listener', async () => {
    const { clock, ask, icmp } = setUp();
    const knock = ask('a');
    await clock.advance(0);
    icmp.refusals += 1;
    assert.match(knock.turn?.failed(refusal).message ?? '', /a firewall refused it/);
  });

  test('counts what one tunnel meets on another port of the machine, but not as its failure', async () => {
    const { clock, ask } = setUp();
    const other: NetworkPath = { ...PLACE, port: 2222 };
    const knocks = [0, 0, 0, 0, 0];
    for (const _ of knocks) {
      const one = ask('a', {}, other);
      await clock.advance(0);
      one.login();
    }
    const first = ask('b');
    const second = ask('c');
    await clock.advance(0);
    assert.deepEqual([first.state, second.state], ['granted', 'waits']);
    first.turn?.failed(new TunnelFailure('unreachable', 'no route'));
    await clock.advance(0);
    assert.equal(second.state, 'refused');
    // On loopback each port may be another machine.
    const near = ask('d', {}, { ...PLACE, address: '127.0.0.1' });
    await clock.advance(0);
    assert.equal(near.state, 'granted');
  });

  test('gives a turn to the next one when it is not used, and forgets who gives up', async () => {
    const { clock, ask } = setUp();
    const first = ask('a');
    await clock.advance(0);
    const [gone, next] = [ask('gone'), ask('next')];
    gone.abort();
    first.turn?.end();
    await clock.advance(0);
    assert.deepEqual([gone.state, next.state], ['aborted', 'granted']);
    next.turn?.end();
    assert.equal(clock.pending(), 0);
  });

  test('does not shut the others out for ever when a turn is never reported again', async () => {
    const { clock, ask } = setUp();
    ask('lost');
    await clock.advance(3 * 3_600_000);
    const next = ask('next');
    await clock.advance(0);
    assert.equal(next.state, 'granted');
  });

  test('gives turns to commands that connect by themselves, and reports that they live while they wait', async () => {
    const { clock, turns } = setUp();
    const said: number[] = [];
    const take = () =>
      takeCommandTurn(
        'nc h 22',
        {
          ...PLACE,
          host: 'h',
          addressFamily: 'any',
          bindAddress: null,
          bindInterface: null,
          tcpKeepAlive: true,
          connectLimit: null,
        },
        { clock, turns, heartbeat: (withinMs) => said.push(withinMs) },
        new AbortController().signal,
      );
    const first = await take();
    const second = take();
    await clock.advance(25_000);
    assert.equal(said.length, 4);
    first.accepted();
    await clock.advance(0);
    assert.equal((await second).gentle, false);
    assert.equal(clock.pending(), 0);
  });

  test('counts a drop for all tunnels while none gets in, and as chance when others do', async () => {
    const { clock, ask } = setUp();
    const drop = new TunnelFailure('handshake-failed', 'the server closed the connection');
    const [first, second] = [ask('a'), ask('b')];
    await clock.advance(0);
    first?.turn?.opened();
    assert.equal(first?.turn?.notAccepted(drop), false);
    await clock.advance(0);
    assert.equal(second?.failure, drop);
    const third = ask('c');
    await clock.advance(2000);
    third.login();
    const [fourth, fifth] = [ask('d'), ask('e')];
    await clock.advance(0);
    fourth?.turn?.opened();
    assert.equal(fourth?.turn?.notAccepted(drop), true);
    await clock.advance(2000);
    assert.equal(fifth?.state, 'granted');
  });
});

describe('a fleet that has just started, whose sshd is restarted', () => {
  const CASES = [6, 10, 50].flatMap((tunnels) =>
    [2000, 5000, 10_000, 20_000].flatMap((afterMs) =>
      [0, 300].map((gapMs) => ({ tunnels, afterMs, gapMs: Math.min(gapMs, 3000 / tunnels) })),
    ),
  );

  test('is back within three seconds when the server limits nothing, also when its sessions end one by one', async () => {
    for (const { tunnels, afterMs, gapMs } of CASES)
      for (const awayMs of [500, 3000, 10_000]) {
        const { lastInMs } = await restarted({ tunnels, afterMs, gapMs, awayMs }, null);
        const what = JSON.stringify({ tunnels, afterMs, gapMs, awayMs });
        assert.ok(lastInMs <= 3000, `${what}: the last is in after ${lastInMs} ms`);
      }
  });

  // The sixth is rejected, and where nothing answers it the others follow before it is known; then it is quiet for half a minute.
  for (const [name, model, answer, seconds, rejections] of [
    ['`ufw limit`', ufwLimit, 'barred', 31, 1],
    ['a limit that answers as a machine does on whose port nobody listens', ufwLimit, 'refused', 31, 1],
    ['hashlimit', () => hashLimit(4, 5), 'unanswered', 41, 4],
  ] as const)
    test(`is in within ${seconds} s when it is behind ${name}, with ${rejections} rejected`, async () => {
      for (const { tunnels, afterMs, gapMs } of CASES.filter((one) => one.tunnels === 10))
        for (const awayMs of [500, 3000, 10_000]) {
          const restart = { tunnels, afterMs, gapMs, awayMs };
          const { firstInMs, rejected } = await restarted(restart, { letsIn: model(), answer });
          const met = `${JSON.stringify(restart)}: in after ${firstInMs} ms, ${rejected} rejected`;
          assert.ok(firstInMs <= seconds * 1000 && rejected <= rejections, met);
        }
    });

  test('is dialled no slower when logins were cut off together', async () => {
    const { clock, ask } = setUp();
    const drop = new TunnelFailure('handshake-failed', 'the server closed the connection');
    for (let round = 0; round < 8; round += 1) {
      const one = ask('up');
      await clock.advance(0);
      one.login();
    }
    const asked = Array.from({ length: 8 }, (_, index) => ask(`t${index}`));
    await clock.advance(0);
    assert.ok(asked.every(({ state }) => state === 'granted'));
    for (const { turn } of asked) {
      turn?.opened();
      turn?.notAccepted(drop);
    }
    const next = ask('next');
    await clock.advance(600);
    assert.equal(next.state, 'granted');
  });
});

interface Restart {
  readonly tunnels: number;
  /** From the start on. */
  readonly afterMs: number;
  /** Between the ends of two sessions. */
  readonly gapMs: number;
  readonly awayMs: number;
}

interface Firewall {
  readonly letsIn: LimitModel;
  /** What a connection that it rejects meets. */
  readonly answer: 'barred' | 'refused' | 'unanswered';
}

/** Times are told from the moment on when sshd is back; of tunnels that cannot share a connection. */
async function restarted({ tunnels, afterMs, gapMs, awayMs }: Restart, firewall: Firewall | null) {
  const { clock, turns, icmp } = setUp();
  const goneAt = afterMs;
  const backAt = afterMs + (tunnels - 1) * gapMs + awayMs;
  const inAt = new Map<string, number>();
  let rejected = 0;
  const run = async (name: string, gone: Promise<void>) => {
    for (;;) {
      const request = { purpose: 'login', loginHistory: 'proven', urgent: false, limit: null, since: 0 } as const;
      const turn = await turns.take(PLACE, request, new AbortController().signal).catch(() => null);
      if (turn === null) {
        await wait(clock, 1000);
        continue;
      }
      const isAway = clock.now() >= goneAt && clock.now() < backAt;
      if (firewall !== null && !firewall.letsIn(clock.now())) {
        rejected += 1;
        if (firewall.answer === 'barred') icmp.refusals += 1;
        if (firewall.answer === 'unanswered') await wait(clock, 10_000);
        turn.failed(firewall.answer === 'unanswered' ? silence : refusal);
      } else if (isAway) turn.failed(refusal);
      else {
        turn.opened();
        await wait(clock, 40);
        turn.accepted();
        inAt.set(name, clock.now());
        if (clock.now() >= goneAt) return;
        await gone;
        turn.end();
        await wait(clock, 80);
        continue;
      }
      await wait(clock, 1000);
    }
  };
  for (let index = 0; index < tunnels; index += 1) void run(`t${index}`, wait(clock, goneAt + index * gapMs));
  const back = () => [...inAt.values()].filter((at) => at >= backAt);
  const enough = firewall === null ? tunnels : 1;
  while (back().length < enough && clock.now() < backAt + 60_000) await clock.advance(100);
  return { firstInMs: Math.min(...back()) - backAt, lastInMs: Math.max(...back()) - backAt, rejected };
}

function wait(clock: FakeClock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.timer(ms, resolve));
}

interface Asked {
  readonly name: string;
  state: 'waits' | 'granted' | 'refused' | 'aborted' | 'in';
  turn: Turn | null;
  failure: TunnelFailure | null;
  login(): void;
  abort(): void;
}

function setUp() {
  const clock: FakeClock = fakeClock();
  const icmp = { refusals: 0 };
  const turns = createTurns({ clock, random: () => 0.5, icmpRefusals: () => icmp.refusals });
  const ask = (name: string, change: Partial<TurnRequest> = {}, place = PLACE): Asked => {
    const controller = new AbortController();
    const claim: TurnRequest = {
      purpose: 'login',
      loginHistory: 'proven',
      urgent: false,
      limit: null,
      since: 0,
      ...change,
    };
    const asked: Asked = {
      name,
      state: 'waits',
      turn: null,
      failure: null,
      login: () => {
        asked.turn?.opened();
        asked.turn?.accepted();
        asked.state = 'in';
      },
      abort: () => controller.abort(new Error('enough')),
    };
    turns.take(place, claim, controller.signal).then(
      (turn) => Object.assign(asked, { turn, state: 'granted' }),
      (error: unknown) =>
        Object.assign(
          asked,
          error instanceof TunnelFailure ? { state: 'refused', failure: error } : { state: 'aborted' },
        ),
    );
    return asked;
  };
  return { clock, turns, ask, icmp };
}

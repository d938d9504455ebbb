import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { begin, isForgettable, isLimited, nextAt, applyEvent, START } from '../../../src/net/pacing/pace.ts';
import type { ConnectionEvent } from '../../../src/net/pacing/connection-event.ts';
import { type PaceRequest, type Pace } from '../../../src/net/pacing/types.ts';
import { type ConnectLimit } from '../../../src/model/spec.ts';
import { hashLimit, type LimitModel, penalties, ufwLimit } from './limit-models.ts';

const CLAIM: PaceRequest = { purpose: 'login', loginHistory: 'proven', urgent: false, limit: null };
const MINUTE = 60_000;
const middle = () => 0.5;

describe('a server that is away', () => {
  // The issue is the way in: whatever the time away, and whatever chance says.
  const away = [3, 5, 8, 10, 15, 20, 30, 45, 60, 90, 120, 300, 600, 1200, 1800];
  for (const [name, limit, firewall] of [
    ['without a limit', null, () => () => true],
    ['behind `ufw limit`', null, ufwLimit],
    ['behind hashlimit with its usual burst', null, () => hashLimit(4, 5)],
    ['behind hashlimit, with its setting', { count: 4, windowMs: MINUTE }, () => hashLimit(4, 4)],
  ] as const) {
    test(`is reached within 35 s of its return ${name}, and no knock is rejected`, () => {
      for (const seconds of away)
        for (const chance of [0, 0.3, 0.7, 0.999]) {
          const { inAfterMs, turnedAway, knocks } = absence(seconds * 1000, firewall(), limit, () => chance);
          const what = `away for ${seconds} s: in after ${inAfterMs} ms, knocks at ${knocks.join(', ')}`;
          assert.equal(turnedAway, 0, what);
          assert.ok(inAfterMs <= (limit === null ? 20_000 : 62_000), what);
        }
    });
  }

  // Five knocks in half a minute, 2 s apart, would reach 8 s: what is quicker at first is slower later.
  for (const [upToMs, wantedMs] of [
    [1500, 1800],
    [4000, 2900],
    [11_000, 3700],
  ] as const)
    test(`is reached at worst ${wantedMs / 1000} s later when no limit is known and it restarts within ${upToMs / 1000} s`, () => {
      for (const firewall of [ufwLimit, () => hashLimit(4, 5)])
        for (const chance of [0, 0.5, 0.999])
          for (let awayMs = 50; awayMs <= upToMs; awayMs += 50) {
            const { inAfterMs, turnedAway } = absence(awayMs, firewall(), null, () => chance);
            assert.ok(inAfterMs <= wantedMs && turnedAway === 0, `${awayMs} ms away: in after ${inAfterMs} ms`);
          }
    });

  test('is reached as soon, with one knock less, when the connection was new', () => {
    for (const newForMs of [3000, 6000, 20_000])
      for (const chance of [0, 0.5, 0.999])
        for (const [awayMs, wantedMs] of [
          [1000, 1800],
          [3000, 2900],
          [10_000, 2000],
        ] as const) {
          const away = absence(awayMs, ufwLimit(), null, () => chance, START.limit, newForMs);
          const what = `new for ${newForMs} ms, away for ${awayMs} ms: in after ${away.inAfterMs} ms`;
          assert.ok(away.inAfterMs <= wantedMs && away.turnedAway === 0, what);
        }
  });

  // More than five connections in half a minute are never risked: what was up for a few seconds only waits for that.
  test('is reached as soon as the connections before leave room when it is away again and again', () => {
    for (const chance of [0, 0.5, 0.999])
      for (let upForMs = 10_000; upForMs <= 40_000; upForMs += 500)
        for (const awayMs of [500, 1500, 2500]) {
          const { inAfterMs, turnedAway } = absences(20, { awayMs, upForMs }, ufwLimit(), () => chance);
          const what = `up for ${upForMs} ms, away for ${awayMs} ms: in after ${inAfterMs} ms, ${turnedAway} turned away`;
          assert.ok(inAfterMs <= (upForMs < 20_000 ? 9500 : 4500) && turnedAway === 0, what);
        }
  });

  test('is reached within two seconds in the first minute when it is known to have no limit', () => {
    for (const chance of [0, 0.5, 0.999])
      for (let awayMs = 50; awayMs <= MINUTE; awayMs += 500) {
        const { inAfterMs } = absence(
          awayMs,
          () => true,
          null,
          () => chance,
          { type: 'none' },
        );
        assert.ok(inAfterMs <= 1850, `${awayMs} ms away: in after ${inAfterMs} ms`);
      }
    const { knocks } = absence(30 * MINUTE, () => true, null, middle, { type: 'none' });
    assert.ok(knocks.filter((at) => at > 2 * MINUTE && at <= 3 * MINUTE).length <= 4);
  });

  test('is dialled no more than five times in any half minute, and after the first one twice', () => {
    const { knocks } = absence(30 * MINUTE, ufwLimit(), null, () => 0);
    for (const [index, at] of knocks.entries()) {
      const recent = knocks.slice(0, index + 1).filter((time) => time > at - 30_000).length;
      assert.ok(recent <= (at < 60_000 ? 5 : 2), `${recent} in the half minute before ${at} ms`);
    }
  });

  test('lets a second device in when it comes from the same address', () => {
    // Both dial on their own, and both were sent away by the limit at first.
    const firewall = ufwLimit();
    for (let now = 0; now < 5000; now += 500) firewall(now);
    const devices = [devicePace(0.1), devicePace(0.8)];
    let back: (number | null)[] = [null, null];
    for (let now = 5000; now < 5 * MINUTE; now += 100)
      back = devices.map((device, index) => back[index] ?? device(now, firewall));
    assert.ok(
      back.every((at) => at !== null && at < 2 * MINUTE),
      `back at ${back.join(' and ')} ms`,
    );
  });

  test('is dialled again at once when it swallows packets: nothing has arrived', () => {
    const pace = play(START, [
      [0, 'unanswered'],
      [10_000, 'unanswered'],
      [20_000, 'unanswered'],
      [30_000, 'unanswered'],
    ]);
    assert.equal(nextAt(pace, CLAIM, 40_000), 40_000);
    assert.equal(pace.begun.length, 0);
  });
});

describe('a limit', () => {
  const five: readonly Step[] = [1, 2, 3, 4, 5].map((at) => [at * 1000, 'accepted']);

  test('is suspected when one refuses right after others were let in, who are still there', () => {
    const pace = play(START, [...five, [6000, 'refused']]);
    assert.deepEqual([pace.limit.type, isLimited(pace, 6000)], ['suspected', true]);
    assert.ok(nextAt(pace, CLAIM, 6000) >= 6000 + 30_000);
    assert.ok(nextAt(pace, { ...CLAIM, urgent: true }, 6000) >= 6000 + 30_000, 'whoever asks');
  });

  test('is suspected when one falls silent right after others were let in', () => {
    assert.equal(play(START, [...five, [6000, 'unanswered']]).limit.type, 'suspected');
    assert.equal(
      play(START, [
        [0, 'accepted'],
        [6000, 'unanswered'],
      ]).limit.type,
      'unknown',
    );
  });

  test('is not suspected when all sessions of the server ended with it', () => {
    const pace = play(START, [...five, ...five.map((): Step => [5500, 'ended']), [6000, 'refused']]);
    assert.equal(pace.limit.type, 'unknown');
  });

  test('is suspected when a firewall says so itself', () => {
    const pace = play(START, [[0, 'barred']]);
    assert.equal(pace.limit.type, 'suspected');
    assert.ok(nextAt(pace, CLAIM, 0) >= 30_000);
  });

  test('is known when it shows itself again, kept to for a day, and leaves room for others', () => {
    let pace = play(START, [...five, [6000, 'refused']]);
    pace = play(
      pace,
      [40, 41, 42, 43, 44].map((at): Step => [at * 1000, 'accepted']),
    );
    // The sixth goes alone.
    assert.equal(nextAt(pace, CLAIM, 45_000), 45_000);
    assert.equal(nextAt(begin(pace, { ...CLAIM, at: 45_000 }), CLAIM, 45_000), Infinity);
    pace = play(pace, [[45_000, 'refused']]);
    assert.equal(pace.limit.type, 'known');
    pace = play(
      pace,
      [100, 101, 102, 103].map((at): Step => [at * 1000, 'accepted']),
    );
    assert.equal(nextAt(pace, CLAIM, 104_000), 131_000);
    assert.equal(isForgettable({ ...pace, established: 0 }, 3_600_000), false);
    assert.equal(isForgettable({ ...pace, established: 0 }, 100 * 3_600_000), true);
  });

  test('is no longer there when a sixth was let in: then only their number under way holds them up', () => {
    const pace = play(START, [...five, [6000, 'accepted']]);
    assert.equal(pace.limit.type, 'none');
    assert.equal(nextAt(pace, CLAIM, 6000), 6000);
    // Its restart is no limit either.
    const away = play({ ...pace, established: 0 }, [[6500, 'refused']]);
    assert.deepEqual([away.limit.type, nextAt(away, CLAIM, 8300)], ['none', 8300]);
  });

  test('is kept to from the beginning when the configuration has it', () => {
    const claim = { ...CLAIM, limit: { count: 2, windowMs: MINUTE } };
    const pace = play(START, [
      [0, 'accepted'],
      [5000, 'accepted'],
    ]);
    assert.equal(nextAt(pace, claim, 6000), 61_000);
    assert.equal(nextAt(pace, { ...claim, urgent: true }, 6000), 61_000);
  });
});

describe('connections under way', () => {
  test('are one at first, one more for each login, eight at most, and half after a drop', () => {
    assert.equal(nextAt(begin(START, { ...CLAIM, at: 0 }), CLAIM, 0), Infinity);
    let pace = play(
      START,
      Array.from({ length: 20 }, (_, at): Step => [at * 10, 'accepted']),
    );
    assert.equal(pace.width, 8);
    pace = play(pace, [[1000, 'dropped']]);
    assert.deepEqual([pace.width, nextAt(pace, CLAIM, 1000)], [4, 1500]);
    pace = play(pace, [
      [2000, 'dropped'],
      [3000, 'dropped'],
      [4000, 'dropped'],
    ]);
    assert.deepEqual([pace.width, nextAt(pace, CLAIM, 4000)], [1, 8000]);
    assert.equal(play(pace, [[9000, 'accepted']]).dropped, 0);
  });

  test('a probe holds no login up, and there is one at a time', () => {
    const probe: PaceRequest = { ...CLAIM, purpose: 'probe' };
    const probing = begin(START, { ...probe, at: 0 });
    assert.deepEqual([nextAt(probing, CLAIM, 0), nextAt(probing, probe, 0)], [0, Infinity]);
  });
});

describe('failed logins', () => {
  const rejected: PaceRequest = { ...CLAIM, loginHistory: 'rejected' };

  test('are fewer than five in ten minutes, whoever asks', () => {
    for (const claim of [CLAIM, rejected, { ...rejected, urgent: true }, { ...CLAIM, loginHistory: 'new' as const }]) {
      let pace = START;
      const failed: number[] = [];
      for (let now = 0; now < 60 * MINUTE; now += 1000) {
        if (nextAt(pace, claim, now) > now) continue;
        failed.push(now);
        pace = applyEvent(
          applyEvent(begin(pace, { ...claim, at: now }), 'opened', { ...claim, at: now }, now, middle),
          'rejected',
          { ...claim, at: now },
          now,
          middle,
        );
      }
      for (const at of failed)
        assert.ok(failed.filter((time) => time <= at && time > at - 10 * MINUTE).length <= 4, JSON.stringify(claim));
    }
  });

  test('leave room for those that were up before when they are of one tunnel', () => {
    let pace = START;
    for (let now = 0; now < 60 * MINUTE; now += 1000)
      if (nextAt(pace, rejected, now) <= now) pace = play(pace, [[now, 'rejected']], 'rejected');
    const now = 60 * MINUTE;
    assert.ok(nextAt(pace, rejected, now) > now);
    assert.equal(nextAt(pace, CLAIM, now), now);
  });

  test('leave one attempt to a tunnel that worked when others had as many as they may, and none beyond a ban', () => {
    const fresh: PaceRequest = { ...CLAIM, loginHistory: 'new' };
    let pace = START;
    const failed: number[] = [];
    for (let now = 0; now < 9 * MINUTE; now += 1000) {
      if (nextAt(pace, fresh, now) > now) continue;
      failed.push(now);
      pace = play(pace, [[now, 'rejected']], 'new');
    }
    assert.equal(failed.length, 3);
    const now = 9 * MINUTE;
    assert.ok(nextAt(pace, fresh, now) > now + MINUTE);
    assert.equal(nextAt(pace, CLAIM, now), now);
    assert.ok(nextAt(play(pace, [[now, 'rejected']]), CLAIM, now) > now + MINUTE, 'the fifth would be a ban');
  });

  test('make the others wait when two in a row fail: the server may not be ready', () => {
    const pace = play(START, [
      [0, 'rejected'],
      [1000, 'rejected'],
    ]);
    assert.equal(nextAt(pace, CLAIM, 1000), 21_000);
    assert.equal(nextAt(play(pace, [[21_000, 'rejected']]), CLAIM, 21_000), 81_000);
    assert.equal(nextAt(play(pace, [[21_000, 'accepted']]), CLAIM, 21_000), 21_000);
  });
});

describe('an sshd that holds failures against their source', () => {
  const KINDS = {
    'failed logins of new tunnels': ['rejected', 'new', 0],
    'failed logins of tunnels that worked': ['rejected', 'proven', 0],
    'connections that end before a login': ['left', 'new', 0],
    'logins that come to LoginGraceTime': ['dropped', 'new', 20_000],
  } as const;

  for (const [what, [outcome, loginHistory, tookMs]] of Object.entries(KINDS))
    test(`never holds enough against us when ${what}, one after the other as soon as may be`, () => {
      const sshd = penalties();
      let pace = START;
      let count = 0;
      for (let now = 0; now < 20 * MINUTE; now += 100) {
        if (nextAt(pace, { ...CLAIM, loginHistory }, now) > now) continue;
        const begun = { at: now, purpose: 'login', loginHistory } as const;
        now += tookMs;
        pace = applyEvent(applyEvent(begin(pace, begun), 'opened', begun, now, middle), outcome, begun, now, middle);
        count += 1;
        assert.ok(sshd(outcome, now), `shut out at ${now} ms by the ${count}th`);
      }
      assert.ok(count > 3);
    });

  test('keeps a tunnel that worked waiting for a few seconds only', () => {
    let pace = play(
      START,
      [
        [0, 'rejected'],
        [0, 'rejected'],
        [0, 'rejected'],
      ],
      'new',
    );
    assert.ok(nextAt(pace, CLAIM, 0) <= 6000);
    pace = play(pace, [[6000, 'accepted']]);
    assert.equal(nextAt(pace, CLAIM, 6000), 6000);
  });
});

type Step = readonly [at: number, outcome: ConnectionEvent];

/** Connections one after the other; each that became something was opened first. */
function play(from: Pace, steps: readonly Step[], loginHistory: PaceRequest['loginHistory'] = 'proven'): Pace {
  return steps.reduce((pace, [at, outcome]) => {
    const begun = { at, purpose: 'login', loginHistory } as const;
    const step = (before: Pace, what: ConnectionEvent) => applyEvent(before, what, begun, at, middle);
    if (outcome === 'ended') return step(pace, 'ended');
    const started = begin(pace, begun);
    return ['accepted', 'rejected', 'dropped'].includes(outcome)
      ? step(step(started, 'opened'), outcome)
      : step(started, outcome);
  }, from);
}

/** The first of the times `now`, 50 ms later and so on that is not before `at`. */
function onStep(now: number, at: number): number {
  return now + 50 * Math.ceil((at - now) / 50);
}

/** A tunnel that was up, whose sshd is away for this time. Times are told from the loss on. */
function absence(
  awayMs: number,
  firewall: LimitModel,
  limit: ConnectLimit | null,
  random: () => number,
  known: Pace['limit'] = START.limit,
  upForMs = 5 * MINUTE - 1000,
) {
  const claim = { ...CLAIM, limit };
  const start = 5 * MINUTE - upForMs;
  firewall(start);
  let pace = applyEvent(
    play({ ...START, limit: known }, [[start, 'accepted']]),
    'ended',
    { ...claim, at: start },
    5 * MINUTE,
    random,
  );
  const lost = 5 * MINUTE;
  let turnedAway = 0;
  const knocks: number[] = [];
  // The first knock follows the loss at once.
  for (let now = lost + 50; ; now += 50) {
    now = onStep(now, nextAt(pace, claim, now));
    if (nextAt(pace, claim, now) > now) continue;
    const begun = { ...claim, at: now };
    knocks.push(now - lost);
    const letIn = firewall(now);
    if (!letIn) turnedAway += 1;
    if (letIn && now >= lost + awayMs) return { inAfterMs: now - lost - awayMs, turnedAway, knocks };
    pace = applyEvent(begin(pace, begun), 'refused', begun, now, random);
  }
}

/** A tunnel whose sshd is away that often, each time for so long after so long a session; the longest that it took to get in again. */
function absences(
  count: number,
  { awayMs, upForMs }: { readonly awayMs: number; readonly upForMs: number },
  firewall: LimitModel,
  random: () => number,
) {
  let pace = START;
  let turnedAway = 0;
  let longestMs = 0;
  let now = 5 * MINUTE;
  for (let turn = 0; turn < count; turn += 1) {
    const backAt = turn === 0 ? now : now + awayMs;
    for (; ; now += 50) {
      now = onStep(now, nextAt(pace, CLAIM, now));
      if (nextAt(pace, CLAIM, now) > now) continue;
      const begun = { ...CLAIM, at: now };
      const letIn = firewall(now);
      if (!letIn) turnedAway += 1;
      pace = begin(pace, begun);
      if (letIn && now >= backAt) break;
      pace = applyEvent(pace, 'refused', begun, now, random);
    }
    longestMs = Math.max(longestMs, now - backAt);
    const began = { ...CLAIM, at: now };
    pace = applyEvent(applyEvent(pace, 'opened', began, now, random), 'accepted', began, now, random);
    now += upForMs;
    pace = applyEvent(pace, 'ended', began, now, random);
  }
  return { inAfterMs: longestMs, turnedAway };
}

/** A device that wants in; its answer is the time when it got there. It cannot tell a limit from an absence. */
function devicePace(chance: number): (now: number, firewall: LimitModel) => number | null {
  let pace = START;
  return (now, firewall) => {
    if (nextAt(pace, CLAIM, now) > now) return null;
    const begun = { ...CLAIM, at: now };
    pace = begin(pace, begun);
    if (firewall(now)) return now;
    pace = applyEvent(pace, 'refused', begun, now, () => chance);
    return null;
  };
}

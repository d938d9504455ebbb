import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askNow, assess, pathSeen, startLiveness, type LivenessOptions } from '../../../src/connection/ssh/liveness.ts';
import { type Traffic } from '../../../src/net/transport.ts';

const options: LivenessOptions = { intervalMs: 15_000, countMax: 3, rttMs: 30 };
const still: Traffic = { heardAt: 0, bytesSent: 10, backlog: 0, unacknowledged: 0 };

interface World {
  /** The counters at a time. */
  readonly traffic?: (now: number, asked: readonly number[]) => Partial<Traffic>;
  /** Whether another connection to the server would be answered. */
  readonly path?: (now: number) => boolean;
  readonly options?: Partial<LivenessOptions>;
  /** The network changes at these times. */
  readonly nudges?: readonly number[];
}

/** Follows the advice to the letter. Says when it asked, when it doubted first, and when it gave up. */
function follow(untilMs: number, world: World = {}) {
  const asked: number[] = [];
  const nudges = [...(world.nudges ?? [])];
  let doubtedAt: number | null = null;
  const traffic = (now: number): Traffic => ({ ...still, ...world.traffic?.(now, asked) });
  let live = startLiveness(0, traffic(0));
  for (let now = 0; now <= untilMs;) {
    const { next, verdict } = assess(live, now, traffic(now), { ...options, ...world.options });
    live = next;
    if (verdict.type === 'dead') return { asked, doubtedAt, deadAt: now, pathWorks: verdict.pathWorks };
    if (verdict.type === 'ask') asked.push(now);
    if (verdict.type === 'doubt') {
      doubtedAt ??= now;
      if (live.pathSeenAt === null && world.path?.(now) === true) {
        live = pathSeen(live, now);
        continue;
      }
    }
    assert.ok(verdict.ms > 0, 'no tight loop');
    now += verdict.ms;
    const nudge = nudges[0];
    if (nudge !== undefined && nudge <= now) {
      now = nudge;
      nudges.shift();
      live = askNow(live);
    }
  }
  return { asked, doubtedAt, deadAt: null, pathWorks: null };
}

const whole = () => true;

/** A peer that answers each question after `rtt`, where `reaches` says that the path was whole when TCP sent it (again). */
function answering(reaches: (at: number) => boolean, rtt = 30): NonNullable<World['traffic']> {
  return (now, asked) => {
    const answers = asked.map((at) => arrival(at, reaches) + rtt).filter((at) => at <= now);
    return { heardAt: Math.max(0, ...answers) };
  };
}

/** When a question asked then arrives: TCP repeats it after 0.2 s, and then after twice as long each time. */
function arrival(at: number, reaches: (at: number) => boolean): number {
  for (let wait = 200, time = at; ; time += wait, wait *= 2) if (reaches(time)) return time;
}

test('asks a silent peer once in an interval, and lives on while it answers', () => {
  const { asked, deadAt, doubtedAt } = follow(3_600_000, { traffic: answering(whole), path: whole });
  assert.deepEqual([deadAt, doubtedAt], [null, null]);
  assert.ok(asked.length <= 240, `asked ${asked.length} times in an hour`);
});

test('does not ask when the peer talks', () => {
  assert.deepEqual(follow(1_000_000, { traffic: (now) => ({ heardAt: now }) }).asked, []);
});

test('gives a connection up within 21 seconds when it is silently gone', () => {
  const { asked, doubtedAt, deadAt, pathWorks } = follow(100_000, { path: whole });
  assert.deepEqual([asked, doubtedAt, deadAt, pathWorks], [[15_000], 17_000, 20_000, true]);
});

test('gives a connection up when ssh would, not before, when nothing answers', () => {
  const { deadAt, pathWorks } = follow(100_000);
  assert.deepEqual([deadAt, pathWorks], [60_000, false]);
  assert.equal(follow(100_000, { options: { intervalMs: 1000, countMax: 1 } }).deadAt, 2000);
});

test('keeps the connection when a path was lost for eight seconds, whenever that was', () => {
  for (let from = 14_000; from < 46_000; from += 100) {
    const path = (at: number) => at < from || at > from + 8000;
    const { deadAt } = follow(200_000, { traffic: answering(path), path });
    assert.equal(deadAt, null, `lost at ${from}`);
  }
});

test('keeps the connection when the network changes twice meanwhile', () => {
  for (let from = 14_000; from < 46_000; from += 100) {
    const path = (at: number) => at < from || at > from + 8000;
    const nudges = [from + 300, from + 8200];
    const { deadAt } = follow(200_000, { traffic: answering(path), path, nudges });
    assert.equal(deadAt, null, `lost at ${from}`);
  }
});

test('has no less patience when a path comes back after a long silence', () => {
  const path = (at: number) => at > 40_000;
  const { deadAt } = follow(200_000, { path });
  assert.ok(deadAt !== null && deadAt >= 40_000 && deadAt <= 41_000, `dead at ${deadAt}`);
});

test('asks at once when the network changes', () => {
  const { asked } = follow(14_000, { traffic: answering(whole), nudges: [3000] });
  assert.deepEqual(asked, [3000]);
});

test('keeps a connection when a slow uplink has megabytes queued and nothing is heard', () => {
  const queued = 5_000_000;
  const backlog = follow(25_000, {
    traffic: (now) => ({ bytesSent: now * 200, backlog: queued - now * 200, unacknowledged: null }),
    path: whole,
  });
  assert.equal(backlog.deadAt, null);
  const inTheKernel = follow(25_000, {
    traffic: (now) => ({ bytesSent: queued, unacknowledged: queued - now * 200 }),
    path: whole,
  });
  assert.equal(inTheKernel.deadAt, null);
});

test('waits for an answer that may wait behind much when the kernel does not say', () => {
  const traffic: World['traffic'] = (now) => ({ bytesSent: now < 14_000 ? 10 : 5_000_000, unacknowledged: null });
  assert.equal(follow(100_000, { path: whole, traffic }).deadAt, 60_000);
});

test('takes a queue for dead when it stands still, or when the kernel acknowledges a few bytes for a hanging server', () => {
  for (const traffic of [
    () => ({ backlog: 5_000_000, unacknowledged: 3_000_000 }),
    (now: number) => ({ bytesSent: now }),
    (now: number, asked: readonly number[]) => ({ bytesSent: 10 + 100 * asked.length, unacknowledged: now % 100 }),
  ]) {
    assert.equal(follow(100_000, { path: whole, traffic }).deadAt, 20_000);
  }
});

test('waits longer when round trips are those of a satellite', () => {
  const { deadAt, doubtedAt } = follow(1_000_000, {
    traffic: answering(whole, 2500),
    path: whole,
    options: { rttMs: 2500 },
  });
  assert.deepEqual([deadAt, doubtedAt], [null, null]);
});

test('asks before it gives up when the program was held up for an hour', () => {
  const waiting = assess(startLiveness(0, still), 15_000, still, options).next;
  assert.equal(assess(waiting, 3_600_000, still, options).verdict.type, 'ask');
});

test('asks only after a change of the network when the interval is 0', () => {
  const { asked, deadAt } = follow(10_000_000, { options: { intervalMs: 0 }, traffic: answering(whole) });
  assert.deepEqual([asked, deadAt], [[], null]);
  const nudged = follow(100_000, { options: { intervalMs: 0 }, nudges: [5000], path: whole });
  assert.deepEqual([nudged.asked, nudged.deadAt], [[5000], 10_000]);
});

test('asks early, from half of the silence on, where the process is awake to ask others', () => {
  const live = startLiveness(0, still);
  assert.deepEqual(assess(live, 7000, still, { ...options, early: true }).verdict, { type: 'wait', ms: 8000 });
  const early = assess(live, 7500, still, { ...options, early: true });
  assert.equal(early.verdict.type, 'ask');
  // The connection is given up when it would have been.
  let step: ReturnType<typeof assess> = early;
  let now = 7500;
  while (step.verdict.type !== 'dead') {
    now += step.verdict.ms;
    step = assess(step.next, now, still, options);
  }
  assert.equal(now, 60_000);
});

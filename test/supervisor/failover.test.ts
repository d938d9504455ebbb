import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beginCourse, steer, type Course } from '../../src/supervisor/failover.ts';
import { seeded } from '../support/seeded.ts';

const POLICY = { afterMs: 30, backMs: 300 };

/** What is seen at each server: well, down, or silent since a time. */
type Seen = '+' | '-' | number;

/** Plays a course: at each time what is seen of the servers from then on; the result has the servers that run after each look. */
function play(
  servers: number,
  story: readonly (readonly [at: number, seen: readonly Seen[]])[],
  first: readonly number[] = [0],
) {
  let course = beginCourse(first, POLICY, story[0]![0]);
  const runs: string[] = [];
  let lookAt: number | null = null;
  for (const [at, seen] of story) {
    const sight = (server: number) => {
      const one = seen[server]!;
      return { well: one === '+', silentSince: typeof one === 'number' ? one : null };
    };
    ({ course, lookAt } = steer(course, sight, servers, POLICY, at));
    runs.push([...course.running.keys()].join(''));
  }
  return { runs, lookAt, course };
}

const TABLE: readonly (readonly [string, ReturnType<typeof play>, runs: readonly string[], lookAt: number | null])[] = [
  ['waits for nothing while the first is well', play(2, [[0, ['+', '-']]]), ['0'], null],
  [
    'gives the first its time from the start',
    play(2, [
      [0, ['-', '-']],
      [29, ['-', '-']],
    ]),
    ['0', '0'],
    30,
  ],
  [
    'goes on to the next when the time is over, and still tries the first',
    play(2, [
      [0, ['-', '-']],
      [30, ['-', '-']],
    ]),
    ['0', '01'],
    null,
  ],
  [
    'counts the time anew when the first was well in between',
    play(2, [
      [0, ['-', '-']],
      [20, ['+', '-']],
      [40, ['-', '-']],
      [69, ['-', '-']],
      [70, ['-', '-']],
    ]),
    ['0', '0', '0', '0', '01'],
    null,
  ],
  [
    'counts from when a connection fell silent',
    play(2, [
      [0, ['+', '-']],
      [100, [75, '-']],
      [105, [75, '-']],
    ]),
    ['0', '0', '01'],
    null,
  ],
  [
    'goes on to the third when the second has had its time',
    play(3, [
      [0, ['-', '-', '-']],
      [30, ['-', '-', '-']],
      [59, ['-', '-', '-']],
      [60, ['-', '-', '-']],
    ]),
    ['0', '01', '01', '012'],
    null,
  ],
  [
    'does not go on while the second is well',
    play(3, [
      [0, ['-', '-', '-']],
      [30, ['-', '-', '-']],
      [40, ['-', '+', '-']],
      [400, ['-', '+', '-']],
    ]),
    ['0', '01', '01', '01'],
    null,
  ],
  [
    'comes back when the first has been well for long enough',
    play(2, [
      [0, ['-', '-']],
      [30, ['-', '-']],
      [40, ['-', '+']],
      [100, ['+', '+']],
      [399, ['+', '+']],
      [400, ['+', '+']],
    ]),
    ['0', '01', '01', '01', '01', '0'],
    null,
  ],
  [
    'looks again when that time is over',
    play(2, [
      [0, ['-', '-']],
      [30, ['-', '-']],
      [100, ['+', '+']],
    ]),
    ['0', '01', '01'],
    400,
  ],
  [
    'begins that time anew when the first was down or silent in between',
    play(2, [
      [0, ['-', '-']],
      [30, ['-', '+']],
      [100, ['+', '+']],
      [350, [340, '+']],
      [360, ['+', '+']],
      [420, ['+', '+']],
      [660, ['+', '+']],
    ]),
    ['0', '01', '01', '01', '01', '01', '0'],
    null,
  ],
  [
    'keeps the second when only the second is well, however long',
    play(2, [
      [0, ['-', '-']],
      [30, ['-', '+']],
      [100_000, ['-', '+']],
    ]),
    ['0', '01', '01'],
    null,
  ],
  [
    'comes back to the second from the third',
    play(
      3,
      [
        [0, ['-', '+', '+']],
        [30, ['-', '-', '-']],
        [60, ['-', '+', '+']],
        [359, ['-', '+', '+']],
        [360, ['-', '+', '+']],
      ],
      [0],
    ),
    ['0', '01', '01', '01', '01'],
    null,
  ],
  [
    'ends the third when the second has been well',
    play(
      3,
      [
        [0, ['-', '+', '+']],
        [299, ['-', '+', '+']],
        [300, ['-', '+', '+']],
      ],
      [0, 1, 2],
    ),
    ['012', '012', '01'],
    null,
  ],
  [
    'tries all when none is well, and gives none up',
    play(2, [
      [0, ['-', '-']],
      [30, ['-', '-']],
      [1e6, ['-', '-']],
    ]),
    ['0', '01', '01'],
    null,
  ],
];

for (const [what, { runs, lookAt }, wanted, at] of TABLE) {
  test(`failover ${what}`, () => assert.deepEqual([runs, lookAt], [wanted, at]));
}

test('the patience doubles when a server that was given the tunnel back loses it sooner, and is as before when it does not', () => {
  let course = beginCourse([0, 1], POLICY, 0);
  const look = (now: number, ...seen: readonly boolean[]) =>
    (course = steer(course, (server) => ({ well: seen[server]!, silentSince: null }), 2, POLICY, now).course);
  look(0, true, true);
  look(300, true, true);
  look(400, false, false);
  assert.equal(look(430, false, false).patienceMs, 600);
  look(500, true, true);
  assert.equal(look(1099, true, true).running.size, 2);
  assert.equal(look(1100, true, true).running.size, 1);
  look(9000, false, false);
  assert.equal(look(9030, false, false).patienceMs, 300);
});

test('twenty outages in a row end no server that is well, and never all, whatever the servers do', () => {
  const random = seeded(16);
  for (let run = 0; run < 200; run += 1) {
    const servers = 2 + Math.floor(random() * 3);
    const well = Array.from({ length: servers }, () => true);
    let course: Course = beginCourse([0], POLICY, 0);
    let now = 0;
    for (let cycle = 0; cycle < 20 * 4; cycle += 1) {
      const { course: next, lookAt } = steer(
        course,
        (server) => ({ well: well[server]!, silentSince: null }),
        servers,
        POLICY,
        now,
      );
      const ended = [...course.running.keys()].filter((server) => !next.running.has(server));
      assert.ok(next.running.size > 0);
      for (const server of ended)
        assert.ok(
          [...next.running].some(
            ([kept, since]) => kept < server && well[kept] && since !== null && now - since >= POLICY.backMs,
          ),
        );
      if (well.some((one, server) => one && course.running.has(server)))
        assert.ok([...next.running.keys()].some((server) => well[server]));
      course = next;
      // Either a look that was asked for, or a change of one of the servers.
      if (lookAt !== null && random() < 0.6) now = Math.max(now, lookAt);
      else {
        now += Math.floor(random() * 400);
        well[Math.floor(random() * servers)] = random() < 0.5;
      }
    }
  }
});

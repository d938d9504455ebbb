import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createReceiveAccount } from '../../../../src/connection/ssh2/protocol/receive-account.ts';

const LIMITS = { windows: 64, unread: 100 };

/** Connections of one account, each with what waits on it in truth, and with who was left. */
function startAccount(names: readonly string[]) {
  const account = createReceiveAccount(LIMITS);
  const truth = new Map<string, number>();
  const left: string[] = [];
  const members = new Map(
    names.map((name) => [
      name,
      account.join({ unread: () => truth.get(name) ?? 0, leave: (bytes) => left.push(`${name} with ${bytes}`) }),
    ]),
  );
  const of = (name: string) => members.get(name)!;
  return {
    of,
    left,
    truth,
    /** Bytes come in, and are told. */
    wait: (name: string, bytes: number) => {
      truth.set(name, bytes);
      of(name).wait(bytes);
    },
  };
}

describe('what all connections may have on its way together', () => {
  test('gives each half of what the others leave, so that there is something for all', () => {
    const { of } = startAccount(['a', 'b', 'c', 'd']);
    for (const [name, room] of [
      ['a', 32],
      ['b', 16],
      ['c', 8],
      ['d', 4],
    ] as const) {
      assert.equal(of(name).room(), room);
      of(name).hold(room);
      assert.equal(of(name).room(), room, 'its own is not taken from it');
    }
    of('a').end();
    assert.equal(of('d').room(), 20);
    of('b').hold(0);
    assert.equal(of('d').room(), 28);
    assert.equal(of('a').room(), 26);
  });

  test('leaves no room and no debt when more is used than there is', () => {
    const { of } = startAccount(['a', 'b']);
    of('a').hold(500);
    assert.equal(of('b').room(), 0);
    of('a').end();
    of('a').hold(500);
    of('a').end();
    assert.equal(of('b').room(), 32);
  });
});

describe('what may wait unread on all connections together', () => {
  const cases: readonly [title: string, steps: readonly [name: string, bytes: number][], left: readonly string[]][] = [
    [
      'all of it is allowed',
      [
        ['a', 60],
        ['b', 40],
      ],
      [],
    ],
    [
      'one byte above it costs the worst one',
      [
        ['a', 60],
        ['b', 41],
      ],
      ['a with 60'],
    ],
    [
      'also where another one has the last byte',
      [
        ['a', 20],
        ['b', 60],
        ['c', 21],
      ],
      ['b with 60'],
    ],
    ['one alone is left as well', [['a', 101]], ['a with 101']],
    [
      'as many as there have to be, and no more',
      [
        ['a', 90],
        ['c', 5],
        ['b', 150],
      ],
      ['b with 150'],
    ],
    [
      'who has read does not count',
      [
        ['a', 60],
        ['a', 0],
        ['b', 90],
      ],
      [],
    ],
    [
      'who was left does not count',
      [
        ['a', 101],
        ['a', 500],
        ['b', 90],
      ],
      ['a with 101'],
    ],
  ];
  for (const [title, steps, expected] of cases) {
    test(`leaves whom it must when too much waits unread: ${title}`, () => {
      const { wait, left } = startAccount(['a', 'b', 'c']);
      for (const [name, bytes] of steps) wait(name, bytes);
      assert.deepEqual(left, expected);
    });
  }

  test('notices what has been read meanwhile before it leaves the server', () => {
    const { wait, truth, left } = startAccount(['a', 'b']);
    wait('a', 90);
    truth.set('a', 10);
    wait('b', 80);
    assert.deepEqual(left, []);
    wait('b', 91);
    assert.deepEqual(left, ['b with 91']);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createHostMemory, interleaved } from '../../../src/net/addresses/host-memory.ts';

describe('addresses of a host', () => {
  for (const [given, wanted] of [
    [[], []],
    [['::1'], ['::1']],
    [
      ['a:', 'b:', 'c:', '1', '2'],
      ['a:', '1', 'b:', '2', 'c:'],
    ],
    [
      ['1', '2', 'a:', 'b:', 'c:'],
      ['1', 'a:', '2', 'b:', 'c:'],
    ],
  ] as const)
    test(`tries ${given.join(' ')} in the order ${wanted.join(' ')}`, () => {
      assert.deepEqual(interleaved(given), wanted);
    });

  test('tries the one that answered first, while the name has it', () => {
    const hosts = createHostMemory();
    hosts.answered('h', '2', 10);
    assert.deepEqual(hosts.ordered('h', ['1', '2', '3']), ['2', '1', '3']);
    assert.deepEqual(hosts.last('h'), ['1', '2', '3']);
    assert.deepEqual(hosts.ordered('h', ['1', '3']), ['1', '3']);
    assert.deepEqual(hosts.ordered('other', ['1', '2']), ['1', '2']);
  });

  test('tries the next after 250 ms, or twice the time that an answer took, two seconds at most', () => {
    const hosts = createHostMemory();
    const patience = (ms: number) => {
      hosts.answered('h', '1', ms);
      return hosts.patience('h');
    };
    assert.deepEqual([hosts.patience('h'), patience(20), patience(400), patience(9000)], [250, 250, 800, 2000]);
  });

  test('bounds what is remembered when hosts are many', () => {
    const hosts = createHostMemory();
    for (let host = 0; host < 2000; host += 1) hosts.answered(`h${host}`, '1', 1);
    assert.deepEqual([hosts.last('h0'), hosts.ordered('h1999', ['0', '1'])], [[], ['1', '0']]);
  });
});

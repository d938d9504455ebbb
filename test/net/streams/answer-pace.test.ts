import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerPace } from '../../../src/net/streams/answer-pace.ts';

const near = (count: number) => Array(count).fill(0.19) as number[];

/** Whether to stay awake for the answer to the next message, after answers that took so long; null is one that was awaited in vain. */
const CASES: Record<string, readonly [answers: readonly (number | null)[], isNear: boolean]> = {
  'the first one': [[], false],
  'three near ones': [near(3), false],
  'four near ones': [near(4), true],
  'a hundred near ones': [near(100), true],
  'many near ones, and then a far one': [[...near(100), 0.3], true],
  'many near ones, and then one that was awaited in vain': [[...near(100), null], true],
  'many near ones, and then two far ones': [[...near(100), 0.3, 0.3], false],
  'many near ones, and then two that were awaited in vain': [[...near(100), null, null], false],
  'four near ones, and then a far one': [[...near(4), 0.3], false],
  'two far ones, and then three near ones': [[...near(20), 0.3, 0.3, ...near(3)], false],
  'two far ones, and then four near ones': [[...near(20), 0.3, 0.3, ...near(4)], true],
  'near and far ones in turn': [Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? 0.1 : 0.3)), false],
  'those of a person who types': [Array(50).fill(120), false],
};

for (const [what, [answers, isNear]] of Object.entries(CASES))
  test(`says ${isNear ? 'to stay awake' : 'to sleep'} when the last answers were ${what}`, () => {
    const pace = new AnswerPace();
    let now = 1000;
    for (const ms of answers) {
      pace.asked(now);
      if (ms === null) pace.missed();
      pace.answered((now += ms ?? 5));
    }
    assert.equal(pace.isNear(), false, 'nothing was asked');
    pace.asked(now);
    assert.equal(pace.isNear(), isNear);
  });

test('counts an answer once, and from what was sent last, when more is said on either side', () => {
  const pace = new AnswerPace();
  for (let i = 0; i < 2; i++) {
    pace.asked(i);
    pace.answered(i + 0.1);
    pace.answered(i + 0.15);
  }
  pace.asked(10);
  assert.equal(pace.isNear(), false);
  for (let i = 0; i < 2; i++) {
    pace.asked(20 + i);
    pace.asked(20.5 + i);
    pace.answered(20.6 + i);
  }
  pace.asked(30);
  assert.equal(pace.isNear(), true);
});

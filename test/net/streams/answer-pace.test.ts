import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnswerPace } from '../../../src/net/streams/answer-pace.ts';

/** Whether to stay awake for the answer to the next message, after answers that took so long; null is one that was awaited in vain. */
const CASES: Record<string, readonly [answers: readonly (number | null)[], isNear: boolean]> = {
  'the first one': [[], false],
  'seven near ones': [Array(7).fill(0.19), false],
  'eight near ones': [Array(8).fill(0.19), true],
  'a hundred near ones': [Array(100).fill(0.05), true],
  'near ones, and then a far one': [[...Array(100).fill(0.05), 0.3], false],
  'a far one, and then seven near ones': [[...Array(20).fill(0.05), 0.3, ...Array(7).fill(0.05)], false],
  'a far one, and then eight near ones': [[...Array(20).fill(0.05), 0.3, ...Array(8).fill(0.05)], true],
  'one that was awaited in vain': [[...Array(20).fill(0.05), null], false],
  'eight near ones behind that': [[...Array(20).fill(0.05), null, ...Array(8).fill(0.05)], true],
  'those of a person who types': [Array(50).fill(120), false],
};

for (const [what, [answers, isNear]] of Object.entries(CASES))
  test(`says ${isNear ? 'to stay awake' : 'to sleep'} when the last answers were ${what}`, () => {
    const pace = createAnswerPace();
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
  const pace = createAnswerPace();
  for (let i = 0; i < 4; i++) {
    pace.asked(i);
    pace.answered(i + 0.1);
    pace.answered(i + 0.15);
  }
  pace.asked(10);
  assert.equal(pace.isNear(), false);
  for (let i = 0; i < 4; i++) {
    pace.asked(20 + i);
    pace.asked(20.5 + i);
    pace.answered(20.6 + i);
  }
  pace.asked(30);
  assert.equal(pace.isNear(), true);
});

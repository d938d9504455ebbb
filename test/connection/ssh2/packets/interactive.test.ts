import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InteractiveChannels, SendingChannel } from '../../../../src/connection/ssh2/packets/interactive.ts';

const FULL = 2 * 1024 * 1024;
const LARGE = 256 * 1024;
const ON_ITS_WAY = 192 * 1024;

/** What a transfer may send at 5000 ms, after what was said by itself or another channel at these times, and waited for in vain. */
interface Case {
  readonly full?: number;
  readonly window?: number;
  readonly bytes?: number;
  readonly other?: readonly [bytes: number, at: number];
  readonly inVain?: number;
  readonly usable: number;
}

const CASES: Record<string, Case> = {
  'nobody else says anything': { usable: FULL },
  'another channel said a byte just now': { other: [1, 4999], usable: ON_ITS_WAY },
  'another channel said 4 KiB just now': { other: [4096, 4999], usable: ON_ITS_WAY },
  'another channel sent more than 4 KiB just now': { other: [4097, 4999], usable: FULL },
  'another channel said a byte a second ago': { other: [1, 4000], usable: FULL },
  'a part of the window is used': { other: [1, 4999], window: FULL - 100_000, usable: ON_ITS_WAY - 100_000 },
  'more of the window is used than it may': { other: [1, 4999], window: FULL - 500_000, usable: 0 },
  'all of the window is used': { other: [1, 4999], window: 0, usable: 0 },
  'it waited in vain just now': { other: [1, 4999], inVain: 4990, usable: FULL },
  'it waited in vain a second ago': { other: [1, 4999], inVain: 4000, usable: ON_ITS_WAY },
  'the server has a small window': { full: 24_576, window: 20_000, other: [1, 4999], usable: 20_000 },
  'the window is small by now': { window: 1000, usable: 1000 },
};

for (const [what, { full = FULL, window = full, other, inVain, usable }] of Object.entries(CASES))
  test(`a transfer may use ${usable} bytes of a window when ${what}`, () => {
    const interactive = new InteractiveChannels();
    const [transfer, another] = [new SendingChannel(interactive), new SendingChannel(interactive)];
    transfer.usable(full, LARGE, 0);
    if (other !== undefined) another.usable(FULL, ...other);
    if (inVain !== undefined) transfer.waitedInVain(inVain);
    assert.equal(transfer.usable(window, LARGE, 5000), usable);
    assert.equal(transfer.isHeldBack, usable < LARGE);
  });

test('an interactive channel is never held back, nor a transfer on the same one', () => {
  const interactive = new InteractiveChannels();
  const [transfer, typed] = [new SendingChannel(interactive), new SendingChannel(interactive)];
  typed.usable(FULL, 1, 0);
  assert.equal(transfer.usable(FULL, 100, 1), FULL);
  assert.equal(typed.usable(FULL - 500_000, 1, 2), FULL - 500_000);
  assert.equal(typed.usable(FULL - 500_000, LARGE, 3), FULL - 500_000);
});

test('the rest of a read is not interactive, however little it is', () => {
  const interactive = new InteractiveChannels();
  const [transfer, typed] = [new SendingChannel(interactive), new SendingChannel(interactive)];
  typed.usable(FULL, 1, 0);
  assert.equal(transfer.usable(FULL, LARGE, 1), ON_ITS_WAY);
  assert.equal(transfer.usable(FULL - ON_ITS_WAY, 100, 2), 0);
  assert.equal(transfer.isHeldBack, true);
  assert.equal(transfer.usable(FULL - ON_ITS_WAY + 1000, 100, 3), 1000);
  assert.equal(transfer.isHeldBack, false);
});

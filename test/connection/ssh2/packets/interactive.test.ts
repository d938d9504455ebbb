import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionChannels, InteractiveChannels } from '../../../../src/connection/ssh2/packets/interactive.ts';

const FULL = 2 * 1024 * 1024;
const LARGE = 256 * 1024;
const ON_ITS_WAY = 192 * 1024;
const AT_ONCE = 64 * 1024;
const SMALL_WINDOW = 768 * 1024;
const ALL = Number.POSITIVE_INFINITY;

/** What a transfer may send at 5000 ms, after what was said by itself or another channel at these times, and waited for in vain. */
interface Case {
  readonly full?: number;
  readonly window?: number;
  readonly bytes?: number;
  readonly other?: readonly [bytes: number, at: number];
  readonly inVain?: number;
  readonly usable: number;
  readonly atOnce?: number;
}

const CASES: Record<string, Case> = {
  'nobody else says anything': { usable: FULL },
  'another channel said a byte just now': { other: [1, 4999], usable: ON_ITS_WAY, atOnce: AT_ONCE },
  'another channel said 4 KiB just now': { other: [4096, 4999], usable: ON_ITS_WAY, atOnce: AT_ONCE },
  'another channel sent more than 4 KiB just now': { other: [4097, 4999], usable: FULL },
  'another channel said a byte a second ago': { other: [1, 4000], usable: FULL },
  'a part of the window is used': {
    other: [1, 4999],
    window: FULL - 100_000,
    usable: ON_ITS_WAY - 100_000,
    atOnce: AT_ONCE,
  },
  'more of the window is used than it may': { other: [1, 4999], window: FULL - 500_000, usable: 0, atOnce: AT_ONCE },
  'all of the window is used': { other: [1, 4999], window: 0, usable: 0, atOnce: AT_ONCE },
  'it waited in vain just now': { other: [1, 4999], inVain: 4990, usable: FULL, atOnce: AT_ONCE },
  'it waited in vain a second ago': { other: [1, 4999], inVain: 4000, usable: ON_ITS_WAY, atOnce: AT_ONCE },
  'the server has a small window': { full: 24_576, window: 20_000, other: [1, 4999], usable: 20_000, atOnce: AT_ONCE },
  'the window is small by now': { window: 1000, usable: 1000 },
};

for (const [what, { full = FULL, window = full, other, inVain, usable, atOnce }] of Object.entries(CASES))
  test(`a transfer may use ${usable} bytes of a window when ${what}`, () => {
    const [transfer, another] = two();
    transfer.usable(full, LARGE, 0);
    if (other !== undefined) another.usable(FULL, ...other);
    if (inVain !== undefined) transfer.waitedInVain(inVain);
    assert.equal(transfer.usable(window, LARGE, 5000), usable);
    assert.equal(transfer.isHeldBack, usable < LARGE);
    assert.equal(transfer.mostAtOnce, atOnce ?? Number.POSITIVE_INFINITY);
  });

test('an interactive channel is never held back, nor a transfer on the same one', () => {
  const [, typed] = two();
  typed.usable(FULL, 1, 0);
  assert.equal(typed.usable(FULL - 500_000, 1, 2), FULL - 500_000);
  assert.equal(typed.usable(FULL - 500_000, LARGE, 3), FULL - 500_000);
});

test('the rest of a read is not interactive, however little it is', () => {
  const [transfer, typed] = two();
  typed.usable(FULL, 1, 0);
  assert.equal(transfer.usable(FULL, LARGE, 1), ON_ITS_WAY);
  assert.equal(transfer.usable(FULL - ON_ITS_WAY, 100, 2), 0);
  assert.equal(transfer.isHeldBack, true);
  assert.equal(transfer.usable(FULL - ON_ITS_WAY + 1000, 100, 3), 1000);
  assert.equal(transfer.isHeldBack, false);
  assert.equal(typed.usable(FULL, LARGE, 4), FULL);
});

/** Of a transfer from the server at 5000 ms: how large its window may be, and whether somebody waits for it. */
interface Receiving {
  /** In 8 ms. */
  readonly bytes?: number;
  /** When these said a byte. */
  readonly said?: readonly (readonly [who: 'transfer' | 'typed' | 'of another connection', at: number])[];
  readonly window: number;
  readonly isWaitedFor: boolean;
}

const FAST = 2 * 1024 * 1024;
const RECEIVED: Record<string, Receiving> = {
  'nobody says anything': { window: ALL, isWaitedFor: false },
  'another channel said a byte just now': { said: [['typed', 4999]], window: SMALL_WINDOW, isWaitedFor: true },
  'another channel said a byte a second ago': { said: [['typed', 4000]], window: ALL, isWaitedFor: false },
  'it is slow': { bytes: FAST - 1, said: [['typed', 4999]], window: ALL, isWaitedFor: true },
  'its own target answers': { said: [['transfer', 4999]], window: ALL, isWaitedFor: false },
  'its own target answers, and another channel said a byte before': {
    said: [
      ['typed', 4900],
      ['transfer', 4999],
    ],
    window: SMALL_WINDOW,
    isWaitedFor: true,
  },
  'its own target answers, and another channel said a byte long before': {
    said: [
      ['typed', 3999],
      ['transfer', 4500],
      ['transfer', 4999],
    ],
    window: ALL,
    isWaitedFor: false,
  },
  'another channel said a byte, and its own target answered before': {
    said: [
      ['transfer', 4900],
      ['typed', 4999],
    ],
    window: SMALL_WINDOW,
    isWaitedFor: true,
  },
  'a channel of another connection said a byte': {
    said: [['of another connection', 4999]],
    window: ALL,
    isWaitedFor: true,
  },
};

for (const [what, { bytes = FAST, said = [], window, isWaitedFor }] of Object.entries(RECEIVED))
  test(`a transfer from the server gets ${window} bytes, and is ${isWaitedFor ? '' : 'not '}waited for, when ${what}`, () => {
    const all = new InteractiveChannels();
    const channels = new ConnectionChannels(all);
    const who = {
      transfer: channels.sending(0),
      typed: channels.sending(1),
      'of another connection': new ConnectionChannels(all).sending(0),
    };
    channels.window(0, 0);
    for (const [one, at] of said) who[one].usable(FULL, 1, at);
    assert.equal(channels.came(bytes, 5000), isWaitedFor);
    assert.equal(channels.window(0, 5000), window);
  });

test('a transfer is not taken for fast long after it was', () => {
  const channels = new ConnectionChannels(new InteractiveChannels());
  const typed = channels.sending(1);
  channels.came(FAST, 5000);
  for (const [at, window] of [
    [5016, SMALL_WINDOW],
    [5017, ALL],
  ] as const) {
    typed.usable(FULL, 1, at);
    assert.equal(channels.window(0, at), window);
  }
});

test('before the first transfer, everybody may wait for it', () => {
  const channels = new ConnectionChannels(new InteractiveChannels());
  assert.equal(channels.came(FAST, 1), false);
  channels.sending(0).usable(FULL, 1, 2);
  assert.equal(channels.came(FAST, 3), true);
});

/** Channels of a connection. */
function two() {
  const channels = new ConnectionChannels(new InteractiveChannels());
  return [channels.sending(0), channels.sending(1)] as const;
}

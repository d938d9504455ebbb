import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { escapeControls } from '../../../src/lib/text.ts';
import { feed, reply, startSocks, type ReplyCode, type Step } from '../../../src/forwarding/visitors/socks-parser.ts';

const GREETING = [5, 1, 0];
const CHOSEN = Buffer.of(5, 0);
const REPLY5_SIZE = 10;

describe('requests', () => {
  const cases: readonly [title: string, bytes: Buffer, version: 4 | 5, host: string, port: number][] = [
    ['SOCKS 5, IPv4', bytes(GREETING, [5, 1, 0, 1, 192, 0, 2, 1, 0, 80]), 5, '192.0.2.1', 80],
    ['SOCKS 5, a name', bytes(GREETING, [5, 1, 0, 3, 11], 'example.org', [0x1f, 0x90]), 5, 'example.org', 8080],
    ['SOCKS 5, the longest name', bytes(GREETING, [5, 1, 0, 3, 255], long(255), [255, 255]), 5, long(255), 65535],
    ['SOCKS 5, the shortest name', bytes(GREETING, [5, 1, 0, 3, 1], 'a', [0, 1]), 5, 'a', 1],
    ['SOCKS 5, IPv6', bytes(GREETING, [5, 1, 0, 4], v6('20010db8000000000000000000000001'), [1, 187]), 5, '2001:db8::1', 443], // oxfmt-ignore
    ['SOCKS 5, IPv6 loopback', bytes(GREETING, [5, 1, 0, 4], v6('1'.padStart(32, '0')), [0, 22]), 5, '::1', 22],
    ['SOCKS 5, any IPv6', bytes(GREETING, [5, 1, 0, 4], v6('0'.repeat(32)), [0, 22]), 5, '::', 22],
    ['SOCKS 5, IPv4 in IPv6', bytes(GREETING, [5, 1, 0, 4], v6('ffff7f000001'.padStart(32, '0')), [0, 22]), 5, '::ffff:127.0.0.1', 22], // oxfmt-ignore
    ['SOCKS 5, IPv6 with all groups', bytes(GREETING, [5, 1, 0, 4], v6('00010002000300040005000600070008'), [0, 22]), 5, '1:2:3:4:5:6:7:8', 22], // oxfmt-ignore
    ['SOCKS 5, more methods', bytes([5, 3, 2, 1, 0], [5, 1, 0, 1, 10, 0, 0, 1, 0, 22]), 5, '10.0.0.1', 22],
    ['SOCKS 5, all methods', bytes([5, 255], [...Array(255).keys()], [5, 1, 9, 1, 10, 0, 0, 1, 0, 22]), 5, '10.0.0.1', 22], // oxfmt-ignore
    ['SOCKS 4', bytes([4, 1, 0, 80, 192, 0, 2, 1, 0]), 4, '192.0.2.1', 80],
    ['SOCKS 4, a user', bytes([4, 1, 0, 80, 192, 0, 2, 1], 'somebody', [0]), 4, '192.0.2.1', 80],
    ['SOCKS 4, the longest user', bytes([4, 1, 0, 80, 0, 0, 1, 0], long(255), [0]), 4, '0.0.1.0', 80],
    ['SOCKS 4, any address', bytes([4, 1, 0, 80, 0, 0, 0, 0, 0]), 4, '0.0.0.0', 80],
    ['SOCKS 4a', bytes([4, 1, 0, 80, 0, 0, 0, 1, 0], 'example.org', [0]), 4, 'example.org', 80],
    ['SOCKS 4a, a user', bytes([4, 1, 0, 80, 0, 0, 0, 255], 'me', [0], 'a', [0]), 4, 'a', 80],
    ['SOCKS 4a, the longest', bytes([4, 1, 0, 80, 0, 0, 0, 7], long(255), [0], long(255), [0]), 4, long(255), 80],
  ];
  for (const [title, message, version, host, port] of cases) {
    test(`reads a request in whatever pieces it comes: ${title}`, () => {
      for (const rest of ['', 'x', '\0', 'GET / HTTP/1.1\r\n\r\n', '\x05\x01\0', 'x'.repeat(2000)]) {
        for (const { sent, step } of allWays(message, Buffer.from(rest))) {
          assert.deepEqual(step, { type: 'request', version, host, port, rest: Buffer.from(rest) });
          assert.deepEqual(sent, version === 5 ? CHOSEN : Buffer.alloc(0));
        }
      }
    });
  }
});

describe('what is refused', () => {
  const cases: readonly [title: string, bytes: Buffer, reply: Buffer, message: RegExp][] = [
    ['a password', bytes([5, 1, 2]), Buffer.of(5, 255), /insists on authentication: it offers only the methods 2$/],
    ['two methods', bytes([5, 2, 2, 1]), Buffer.of(5, 255), /only the methods 2, 1$/],
    ['no methods', bytes([5, 0]), Buffer.of(5, 255), /no method at all$/],
    ['BIND', bytes(GREETING, [5, 2, 0, 1, 10, 0, 0, 1, 0, 22]), refusal5(7), /asks for BIND; only CONNECT/],
    ['UDP', bytes(GREETING, [5, 3, 0, 3, 1], 'a', [0, 0]), refusal5(7), /asks for UDP ASSOCIATE;/],
    ['a look-up', bytes(GREETING, [5, 0xf0, 0, 3, 1], 'a', [0, 0]), refusal5(7), /unknown command 240;/],
    ['command 0', bytes(GREETING, [5, 0, 0, 1, 10, 0, 0, 1, 0, 22]), refusal5(7), /unknown command 0;/],
    ['address type 0', bytes(GREETING, [5, 1, 0, 0]), refusal5(8), /address of unknown type 0$/],
    ['address type 2', bytes(GREETING, [5, 1, 0, 2]), refusal5(8), /type 2$/],
    ['address type 255', bytes(GREETING, [5, 1, 0, 255]), refusal5(8), /type 255$/],
    ['another version after the greeting', bytes(GREETING, [4]), refusal5(1), /request of version 4$/],
    ['an empty name', bytes(GREETING, [5, 1, 0, 3, 0, 0, 80]), refusal5(1), /cannot exist/],
    ['port 0', bytes(GREETING, [5, 1, 0, 1, 10, 0, 0, 1, 0, 0]), refusal5(1), /port 0 of 10\.0\.0\.1$/],
    ...['a\0b', '\0', 'a\n', 'a b', '\x7f', '\x1b[31m', 'caf\xe9', '\u0080'].map(
      (name): [string, Buffer, Buffer, RegExp] => [
        `the name ${escapeControls(name)}`,
        bytes(GREETING, [5, 1, 0, 3, name.length], name, [0, 80]),
        refusal5(1),
        /cannot exist/,
      ],
    ),
    ['SOCKS 4, BIND', bytes([4, 2, 0, 80, 10, 0, 0, 1, 0]), refusal4(), /asks for BIND;/],
    ['SOCKS 4a, another command', bytes([4, 9, 0, 80, 0, 0, 0, 1, 0], 'a', [0]), refusal4(), /unknown command 9;/],
    ['SOCKS 4, port 0', bytes([4, 1, 0, 0, 10, 0, 0, 1, 0]), refusal4(), /port 0/],
    ['SOCKS 4, a user without end', bytes([4, 1, 0, 80, 10, 0, 0, 1], long(256)), refusal4(), /user id is too long/],
    ['SOCKS 4a, a name without end', bytes([4, 1, 0, 80, 0, 0, 0, 1, 0], long(256)), refusal4(), /name .* too long/],
    ['SOCKS 4a, an empty name', bytes([4, 1, 0, 80, 0, 0, 0, 1, 0, 0]), refusal4(), /cannot exist/],
    ['SOCKS 4a, a control character', bytes([4, 1, 0, 80, 0, 0, 0, 1, 0], 'a\r', [0]), refusal4(), /cannot exist/],
    ['SOCKS 4a, not ASCII', bytes([4, 1, 0, 80, 0, 0, 0, 1, 0], '\xff', [0]), refusal4(), /cannot exist/],
  ];
  for (const [title, message, reply, why] of cases) {
    test(`refuses ${title}`, () => {
      for (const { sent, step } of allWays(message, Buffer.from('more'))) {
        assert.equal(step.type, 'error');
        assert.match(step.message, why);
        assert.deepEqual(step.reply, reply);
        assert.deepEqual(sent, message[0] === 5 && message[1] === 1 && message[2] === 0 ? CHOSEN : Buffer.alloc(0));
      }
    });
  }
});

describe('something else than SOCKS', () => {
  for (const line of [
    'GET / HTTP/1.1\r\n',
    'CONNECT example.org:443 HTTP/1.1\r\n',
    'POST / HTTP/1.0\r\n',
    'PRI * HTTP/2.0',
  ]) {
    test(`refuses HTTP and says so to it: ${line.trim()}`, () => {
      for (const { step } of allWays(Buffer.from(line))) {
        assert.equal(step.type, 'error');
        assert.match(step.message, /speaks HTTP, but this is a SOCKS proxy/);
        const [head, body] = step.reply.toString('ascii').split('\r\n\r\n');
        assert.match(head ?? '', /^HTTP\/1\.1 501 This is a SOCKS proxy.*\r\n/);
        assert.equal(Number(/\r\nContent-Length: (\d+)/.exec(head ?? '')?.[1]), body?.length);
      }
    });
  }

  const cases: readonly [title: string, bytes: Buffer, message: RegExp][] = [
    ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.9\r\n'), /says: S/],
    ['TLS', Buffer.of(0x16, 3, 1, 2, 0, 1), /speaks TLS$/],
    ['a word that begins like HTTP', Buffer.from('GETTING\r\n'), /says: GETT/],
    ['lower case', Buffer.from('get / http/1.1\r\n'), /says: g/],
    ['zero', Buffer.of(0), /says: \\x00$/],
    ['another version', Buffer.of(6, 1, 0), /says: \\x06/],
    ['control characters', Buffer.from('\x1b[31m\x9b\n'), /says: \\x1b/],
  ];
  for (const [title, message, why] of cases) {
    test(`refuses what is no SOCKS and says what it is: ${title}`, () => {
      for (const { sent, step } of allWays(message)) {
        assert.equal(step.type, 'error');
        assert.match(step.message, why);
        assert.equal(step.message, escapeControls(step.message));
        assert.deepEqual([sent.length, step.reply.length], [0, 0]);
      }
    });
  }

  test('repeats little when a line is long', () => {
    const step = feed(startSocks(), Buffer.alloc(1 << 20, 'x'));
    assert.equal(step.type, 'error');
    assert.ok(step.message.length < 200);
  });
});

test('takes nothing yet for no error', () => {
  assert.deepEqual(feed(startSocks(), Buffer.alloc(0)), { type: 'more', state: startSocks() });
});

test('does not change a state when it is fed twice', () => {
  const first = feed(startSocks(), Buffer.of(4, 1, 0, 80, 10, 0, 0));
  assert.equal(first.type, 'more');
  for (const last of [1, 2]) {
    const step = feed(first.state, Buffer.of(last, 0));
    assert.equal(step.type === 'request' && step.host, `10.0.0.${last}`);
  }
});

test('answers in the version of the request', () => {
  const outcomes: readonly [ReplyCode, number, number][] = [
    ['granted', 0, 90],
    ['failed', 1, 91],
    ['forbidden', 2, 91],
    ['unreachable', 4, 91],
    ['refused', 5, 91],
  ];
  for (const [outcome, five, four] of outcomes) {
    assert.deepEqual(reply(5, outcome), Buffer.of(5, five, 0, 1, 0, 0, 0, 0, 0, 0));
    assert.deepEqual(reply(4, outcome), Buffer.of(0, four, 0, 0, 0, 0, 0, 0));
  }
});

test('never throws or grows when it reads garbage, and means the same in whatever pieces it comes', () => {
  const random = generator(20_260_101);
  const seen = { more: 0, send: 0, request: 0, error: 0 };
  for (let round = 0; round < 20_000; round++) {
    const message = garbage(random);
    const whole = run([message]);
    const pieces = run(cut(message, random));
    seen[whole.step.type] += 1;
    assert.deepEqual(pieces.sent, whole.sent);
    assert.equal(pieces.step.type, whole.step.type);
    if (whole.step.type !== 'error' || pieces.step.type !== 'error') {
      assert.deepEqual(pieces.step, whole.step);
      continue;
    }
    assert.deepEqual(pieces.step.reply, whole.step.reply);
    assert.equal(whole.step.message, escapeControls(whole.step.message));
    assert.ok(whole.step.message.length < 300);
  }
  // The garbage reaches every kind of ending.
  assert.ok(seen.more > 100 && seen.request > 100 && seen.error > 100, JSON.stringify(seen));
});

/** Beginnings that lead into every branch, then bytes of which many are small and NUL is frequent. */
function garbage(random: () => number): Buffer {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const beginning = pick([[], [4], [5], [4, 1], [4, 1, 0, 80, 0, 0, 0, 1], GREETING, [5, 2, 0, 1, 5, 1, 0, 3], [...GREETING, 5, 1, 0, pick([1, 3, 4])], [71, 69]]); // oxfmt-ignore
  const length = Math.floor(random() ** 3 * 700);
  const narrow = pick([4, 6, 128, 256]);
  const lowest = pick([0, 0, 1, 33]);
  return Buffer.from([...beginning, ...Array.from({ length }, () => lowest + Math.floor(random() * narrow))]);
}

function cut(message: Buffer, random: () => number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < message.length;) {
    const size = 1 + Math.floor(random() ** 4 * 300);
    pieces.push(message.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** mulberry32: the same garbage in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Run {
  readonly sent: Buffer;
  readonly step: Step;
}

/** In one piece, byte by byte, and in two pieces cut at every place of the message; what follows comes with its last piece. */
function allWays(message: Buffer, rest = Buffer.alloc(0)): Run[] {
  const cuts = Array.from({ length: Math.min(message.length, 300) }, (_, at) => at);
  return [
    run([Buffer.concat([message, rest])]),
    run([
      ...Array.from(message.subarray(0, -1), (byte) => Buffer.of(byte)),
      Buffer.concat([message.subarray(-1), rest]),
    ]),
    ...cuts.map((at) => run([message.subarray(0, at), Buffer.concat([message.subarray(at), rest])])),
  ];
}

/** Feeds pieces until the handshake is over; a request keeps also what would have come later. */
function run(pieces: readonly Buffer[]): Run {
  const sent: Buffer[] = [];
  let state = startSocks();
  for (const [index, piece] of pieces.entries()) {
    let step = feed(state, piece);
    while (step.type === 'send') {
      sent.push(step.bytes);
      step = feed(step.state, Buffer.alloc(0));
    }
    if (step.type === 'request') {
      const rest = Buffer.concat([step.rest, ...pieces.slice(index + 1)]);
      return { sent: Buffer.concat(sent), step: { ...step, rest } };
    }
    if (step.type === 'error') return { sent: Buffer.concat(sent), step };
    assert.ok(step.state.pending.length <= 520, `${step.state.pending.length} bytes are kept`);
    state = step.state;
  }
  return { sent: Buffer.concat(sent), step: { type: 'more', state } };
}

function bytes(...parts: readonly (string | readonly number[] | Buffer)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
  );
}

function v6(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}

function long(length: number): string {
  return 'abcdefghi.'.repeat(26).slice(0, length);
}

function refusal5(code: number): Buffer {
  return Buffer.concat([Buffer.of(5, code, 0, 1)], REPLY5_SIZE);
}

function refusal4(): Buffer {
  return Buffer.concat([Buffer.of(0, 91)], 8);
}

import { uint32 } from '../support/fake-server.ts';

/** Numbers from a seed (mulberry32): the same run again finds the same. */
export interface Dice {
  /** From 0 to below `sides`. */
  roll(sides: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
}

export function createDice(seed: number): Dice {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const roll = (sides: number) => Math.floor(next() * sides);
  return { roll, chance: (probability) => next() < probability, pick: (from) => from[roll(from.length)]! };
}

/** A message of a server (RFC 4250 section 4.1.2): what it is made of, a number of a byte or of four, a text or bytes. */
type Field =
  | { readonly byte: number }
  | { readonly number: number }
  | { readonly text: string }
  | { readonly raw: Buffer };

const EXTREMES = [0, 1, 2, 255, 256, 32_767, 32_768, 65_536, 2 ** 21, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1];
const TEXTS = ['', 'x', 'localhost', '127.0.0.1', 'a\u001b[31mb\r\n\u202e', 'y'.repeat(300), 'z'.repeat(40_000)];
const GLOBAL = ['keepalive@openssh.com', 'hostkeys-00@openssh.com', 'no-more-sessions@openssh.com', ''];
const REQUESTS = ['exit-status', 'keepalive@openssh.com', 'shell', 'eow@openssh.com'];
const TYPES = [
  'forwarded-tcpip',
  'forwarded-tcpip',
  'x11',
  'session',
  'forwarded-streamlocal@openssh.com',
  'direct-tcpip',
];

/** One message, most often such that the connection could go on; `port` is that of a listener, `channels` are the client's numbers. */
export function nextMessage(dice: Dice, port: number, channels: readonly number[]): Buffer {
  const fields = TEMPLATES[dice.roll(TEMPLATES.length)]!(dice, port, channels);
  const wild = dice.chance(0.03);
  const spoilt = wild ? spoil(fields, dice) : fields;
  const bytes = Buffer.concat(spoilt.map(encode));
  if (!wild) return bytes;
  if (dice.chance(0.3)) return bytes.subarray(0, Math.max(1, dice.roll(bytes.length)));
  if (dice.chance(0.3)) bytes[dice.roll(bytes.length)] = dice.roll(256);
  return bytes;
}

type Template = (dice: Dice, port: number, channels: readonly number[]) => readonly Field[];

const head = (byte: number): Field => ({ byte });
const n = (number: number): Field => ({ number });
const text = (value: string): Field => ({ text: value });
const data = (dice: Dice) => text('d'.repeat(dice.pick([0, 1, 100, 32_768])));

const channelMessage =
  (type: number, ...rest: readonly ((dice: Dice) => Field)[]): Template =>
  (dice, _port, channels) => [head(type), n(dice.pick(channels)), ...rest.map((field) => field(dice))];

const opening: Template = (dice, port) => [
  head(90),
  text(dice.pick(TYPES)),
  n(1000 + dice.roll(2 ** 20)),
  n(dice.pick([0, 1, 2 ** 21, 2 ** 32 - 1])),
  n(dice.chance(0.01) ? 0 : dice.pick([256, 4096, 32_768, 2 ** 32 - 1])),
  text('localhost'),
  n(port),
  text(dice.pick(['192.0.2.1', '127.0.0.1'])),
  n(dice.roll(65_536)),
];

/** Those that may come at any time stand more often than those that end the connection. */
const TEMPLATES: readonly Template[] = [
  ...Array.from({ length: 4 }, () => opening),
  ...Array.from({ length: 6 }, () => channelMessage(94, data)),
  ...Array.from({ length: 3 }, () => channelMessage(95, (dice) => n(dice.pick([0, 1, 2])), data)),
  ...Array.from({ length: 4 }, () => channelMessage(93, (dice) => n(dice.pick([0, 1, 100, 2 ** 21])))),
  channelMessage(96),
  channelMessage(97),
  channelMessage(99),
  channelMessage(100),
  ...Array.from({ length: 3 }, () =>
    channelMessage(
      98,
      (dice) => text(dice.pick(REQUESTS)),
      (dice) => ({ byte: dice.roll(2) }),
      (dice) => n(dice.roll(256)),
    ),
  ),
  ...Array.from({ length: 3 }, (): Template => (dice) => [head(80), text(dice.pick(GLOBAL)), { byte: dice.roll(2) }]),
  (dice) => [head(80), text('hostkeys-00@openssh.com'), { byte: 0 }, text(dice.pick(TEXTS)), text(dice.pick(TEXTS))],
  (dice) => [head(81), n(dice.pick(EXTREMES))],
  () => [head(81)],
  () => [head(82)],
  (dice) => [head(2), text(dice.pick(TEXTS))],
  (dice) => [head(4), { byte: dice.roll(2) }, text(dice.pick(TEXTS)), text('')],
  (dice) => [head(3), n(dice.roll(1000))],
  (dice) => [head(53), text(dice.pick(TEXTS)), text('')],
  (dice) => [head(7), n(dice.roll(2)), text('server-sig-algs'), text('rsa-sha2-256,rsa-sha2-512')],
  (dice) => [head(192 + dice.roll(64)), text(dice.pick(TEXTS))],
  (dice) => (dice.chance(0.05) ? [head(91), n(dice.roll(9)), n(1), n(2 ** 21), n(2 ** 15)] : [head(82)]),
  (dice) => (dice.chance(0.05) ? [head(92), n(dice.roll(9)), n(2), text('no'), text('')] : [head(82)]),
  (dice) => (dice.chance(0.2) ? [head(50 + dice.roll(12)), text('publickey'), { byte: 0 }] : [head(82)]),
  (dice) => (dice.chance(0.1) ? [head(20 + dice.roll(30)), { raw: Buffer.alloc(dice.roll(200)) }] : [head(82)]),
  (dice) => (dice.chance(0.1) ? [head(1), n(dice.roll(16)), text(dice.pick(TEXTS)), text('')] : [head(82)]),
];

/** One field becomes another: a number that cannot be, a text of another kind, a length that is not its own. */
function spoil(fields: readonly Field[], dice: Dice): readonly Field[] {
  const at = dice.roll(fields.length);
  return fields.map((field, index) => {
    if (index !== at) return field;
    if ('number' in field) return n(dice.pick(EXTREMES));
    if ('byte' in field) return { byte: dice.roll(256) };
    if (dice.chance(0.5)) return { raw: Buffer.concat([uint32(dice.pick(EXTREMES)), Buffer.from('x')]) };
    return text(dice.pick(TEXTS));
  });
}

function encode(field: Field): Buffer {
  if ('raw' in field) return field.raw;
  if ('byte' in field) return Buffer.from([field.byte]);
  if ('number' in field) return uint32(field.number);
  return Buffer.concat([uint32(Buffer.byteLength(field.text)), Buffer.from(field.text)]);
}

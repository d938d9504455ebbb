import { loadAddon, type Addon, type Opener, type Sealer } from '../../../lib/addon.ts';
import { errorText } from '../../../lib/text.ts';
import { OVERHEAD, type Keys } from './codec.ts';

export interface NativeCodec {
  sealer(keys: Keys): Sealer;
  opener(keys: Keys): Opener;
}

/**
 * The codec of the addon, which uses the OpenSSL that Node brings: null where there is none for this machine, or where it does not
 * do what it should.
 */
export function nativeCodec(): NativeCodec | null {
  return (made ??= make()).codec;
}

/** Why there is none, or null. */
export function nativeProblem(): string | null {
  return (made ??= make()).problem;
}

let made: { readonly codec: NativeCodec | null; readonly problem: string | null } | null = null;

function make(): NonNullable<typeof made> {
  const { addon, problem } = loadAddon();
  if (addon === null) return { codec: null, problem };
  try {
    const codec = codecOf(addon);
    provesItself(codec);
    return { codec, problem: null };
  } catch (error) {
    return { codec: null, problem: errorText(error) };
  }
}

function codecOf(addon: Addon): NativeCodec {
  const ivOf = ({ iv }: Keys) => (iv.length === 0 ? null : iv);
  return {
    sealer: (keys) => addon.sealer(keys.cipher, keys.key, ivOf(keys), keys.sequence),
    opener: (keys) => addon.opener(keys.cipher, keys.key, ivOf(keys), keys.sequence),
  };
}

/**
 * A codec that is wrong would cost the way in, at each login again. It must open a packet that ssh2 has sealed, and one of its own.
 */
function provesItself(codec: NativeCodec): void {
  for (const { cipher, key, iv, packet } of PROOFS) {
    const keys = { cipher, key: Buffer.alloc(key, 1), iv: Buffer.alloc(iv, 2), sequence: 7 };
    const theirs = Buffer.from(packet, 'hex');
    if (!opensToHello(codec.opener(keys), theirs) || !opensToHello(codec.opener(keys), sealedHello(codec.sealer(keys))))
      throw new Error(`it does not seal ${cipher} as it should`);
  }
}

function sealedHello(sealer: Sealer): Buffer {
  const memory = Buffer.alloc(HELLO.length + OVERHEAD);
  HELLO.copy(memory, 5);
  try {
    return memory.subarray(0, sealer.seal(memory, 0, HELLO.length));
  } finally {
    sealer.close();
  }
}

function opensToHello(opener: Opener, packet: Buffer): boolean {
  const table = new Uint32Array(3);
  try {
    return (
      opener.open(packet, 0, packet.length, table) === 1 &&
      packet.subarray(table[1], table[1]! + table[2]!).equals(HELLO)
    );
  } finally {
    opener.close();
  }
}

const HELLO = Buffer.from('hello');
/** HELLO and padding of zeros, as packet 7; the key is of ones, the IV of twos. */
const PROOFS = [
  {
    cipher: 'aes-128-gcm',
    key: 16,
    iv: 12,
    packet: '00000010598c750faa41467c97e00e34b2e17a5b8d2153e6c3807ae73b7373d39fceca10',
  },
  {
    cipher: 'aes-256-gcm',
    key: 32,
    iv: 12,
    packet: '000000100dbeac252638c1fdd3ccbcc85ca7c2b269308bdc760a2e0a27bd196437005f40',
  },
  {
    cipher: 'chacha20',
    key: 64,
    iv: 0,
    packet: 'e48ba92ac59347c06e2aa4b7be59c79e00818cd65f1ea4c2c49159594d4bdb0b7c2cf47b',
  },
] as const;

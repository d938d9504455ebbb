import { createHash, randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { abortable, deferred } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import { DEFAULT_CIPHERS, DEFAULT_MACS } from '../../model/algorithms.ts';
import { verifySignature } from '../ssh/signature.ts';
import { WireReader } from '../ssh/wire-reader.ts';
import { mpint, sshString, uint32 } from '../ssh/wire-writer.ts';
import type { X25519 } from './kex/x25519.ts';

/** What a peer has shown. */
export interface Proof {
  /** What it said first, which need not be SSH; empty where it ended without a word, null where it said nothing in time. */
  readonly greeting: Buffer | null;
  /** Its host key as a blob, with which it has signed; null where it proved none in this way. */
  readonly hostKey: Buffer | null;
  /** Whether it was still awaited when the time was over. */
  readonly isLate: boolean;
}

/** Our half of any number of exchanges. */
export interface Half {
  readonly own: X25519;
  readonly hostKeyAlgorithms: readonly string[];
}

/**
 * Has a server prove that it owns its host key, at a fifth of what scanServer() costs: curve25519-sha256 (RFC 8731) as far as the server's
 * signature, where each side has sent one flight. Nothing is encrypted by its secret, so one half does for any number of servers: what each
 * signs is new by our cookie. Where an SSH server answers anything else, scanServer() can say why. It has `ms` to speak, and as long again
 * to prove. The stream is left open, and what comes later is lost; rejects with the signal's reason only.
 */
export async function proveHostKey(
  stream: Duplex,
  half: Half,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Proof> {
  const done = deferred<Proof>();
  let greeting: Buffer | null = null;
  let seen: Buffer = Buffer.alloc(0);
  let kexInit: Buffer | null = null;
  const end = (hostKey: Buffer | null, isLate = false) => done.resolve({ greeting, hostKey, isLate });
  let cancel = clock.timer(ms, () => end(null, true));
  const read = () => {
    if (greeting === null && !isGreeting(seen)) return;
    greeting ??= seen;
    if (!SSH.equals(greeting.subarray(0, SSH.length))) return end(null);
    if (kexInit === null) {
      cancel();
      cancel = clock.timer(ms, () => end(null, true));
      kexInit = kexInitOf(half.hostKeyAlgorithms);
      stream.write(flightOf(kexInit, half.own));
    }
    const reply = replyIn(seen);
    if (reply !== null) end(provenKey(reply, kexInit, half));
  };
  const onData = (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    try {
      read();
    } catch {
      end(null);
    }
  };
  const onEnd = () => {
    greeting ??= seen;
    end(null);
  };
  stream.on('data', onData).once('end', onEnd).once('close', onEnd).once('error', onEnd);
  try {
    return await abortable(done.promise, signal);
  } finally {
    cancel();
    stream.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onEnd);
  }
}

const SSH = Buffer.from('SSH-');

/** An SSH server speaks first (RFC 4253 section 4.2). */
function isGreeting(seen: Buffer): boolean {
  return seen.length >= MAX_LINE || seen.includes('\n');
}

/** RFC 4253 section 7.1: with one exchange to offer there is nothing to guess, and our half need not wait for the server's list. */
function flightOf(kexInit: Buffer, { point }: X25519): Buffer {
  const exchange = Buffer.concat([Buffer.of(MESSAGE.exchangeInit), sshString(point)]);
  return Buffer.concat([Buffer.from(`${IDENTIFICATION}\r\n`), packet(kexInit), packet(exchange)]);
}

const IDENTIFICATION = 'SSH-2.0-tunneld';

/** RFC 4253 section 12, RFC 5656 section 7.1 */
const MESSAGE = { ignore: 2, debug: 4, kexInit: 20, exchangeInit: 30, exchangeReply: 31 } as const;

/** RFC 4253 section 4.2 */
const MAX_LINE = 255;

/** RFC 4253 section 6.1: a packet of 35,000 bytes has to be taken; a server's two take some two thousand. */
const MAX_BYTES = 64 * 1024;

function kexInitOf(hostKeyAlgorithms: readonly string[]): Buffer {
  const both = (names: readonly string[]) => [names, names];
  const lists = [
    ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
    hostKeyAlgorithms,
    ...both(DEFAULT_CIPHERS),
    ...both(DEFAULT_MACS),
    ...both(['none']),
    ...both([]),
  ];
  const flags = Buffer.alloc(5);
  const names = lists.map((list) => sshString(list.join(',')));
  return Buffer.concat([Buffer.of(MESSAGE.kexInit), randomBytes(16), ...names, flags]);
}

/** Unencrypted, with at least four bytes of padding to a multiple of eight (RFC 4253 section 6). */
function packet(payload: Buffer): Buffer {
  const padding = 4 + ((8 - ((payload.length + 9) % 8)) % 8);
  return Buffer.concat([uint32(1 + payload.length + padding), Buffer.of(padding), payload, randomBytes(padding)]);
}

interface Reply {
  readonly identification: string;
  readonly kexInit: Buffer;
  readonly exchange: Buffer;
}

/** Null where more is to come. Throws for anything but what a server sends first. */
function replyIn(seen: Buffer): Reply | null {
  const [line, identification] = /^(SSH-2\.0-[^\r\n]+)\r?\n/.exec(seen.toString('latin1', 0, MAX_LINE)) ?? [];
  if (line === undefined || identification === undefined) throw new Error('no identification of a server of SSH 2');
  let kexInit: Buffer | null = null;
  for (let at = line.length; at + 5 <= seen.length;) {
    const end = at + 4 + seen.readUInt32BE(at);
    if (end > MAX_BYTES) throw new RangeError('more than a server sends first');
    if (end > seen.length) return null;
    const payload = seen.subarray(at + 5, end - seen[at + 4]!);
    at = end;
    const [message] = payload;
    if (message === MESSAGE.kexInit && kexInit === null) kexInit = payload;
    else if (message === MESSAGE.exchangeReply && kexInit !== null)
      return { identification, kexInit, exchange: payload };
    else if (message !== MESSAGE.ignore && message !== MESSAGE.debug) throw new Error('not what was expected');
  }
  return null;
}

/** RFC 8731 section 3: the server signs all that both sides have sent, and their secret. Throws where the reply is malformed. */
function provenKey(
  { identification, kexInit, exchange }: Reply,
  ourKexInit: Buffer,
  { own, hostKeyAlgorithms }: Half,
): Buffer | null {
  const reader = new WireReader(exchange.subarray(1));
  const [key, point, signature] = [reader.string(), reader.string(), reader.string()] as const;
  if (!reader.atEnd() || !hostKeyAlgorithms.includes(new WireReader(signature).text())) return null;
  const secret = mpint(own.secretWith(point));
  const parts = [IDENTIFICATION, identification, ourKexInit, kexInit, key, own.point, point, secret];
  const hash = createHash('sha256');
  for (const part of parts) hash.update(sshString(typeof part === 'string' ? Buffer.from(part, 'latin1') : part));
  return verifySignature(key, hash.digest(), signature) ? key : null;
}

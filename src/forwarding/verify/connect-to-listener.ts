import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import { abortable } from '../../lib/async/abort.ts';
import { sleep, type Clock } from '../../lib/async/clock.ts';
import type { TunnelFailure } from '../../model/failure.ts';
import type { ProbeResult } from './results.ts';
import type { Endpoint } from '../../model/spec.ts';
import type { Channel, SshConnection } from '../../connection/ssh/connection.ts';
import { discardLate } from '../../connection/ssh/discard.ts';
import { isProhibited } from '../../connection/ssh2/requests.ts';

/** What verification needs of the connection. */
export type VerifiedConnection = Pick<SshConnection, 'open' | 'ping' | 'serverVersion' | 'transport'>;

/** Has the server connect us to this place. Rejects also where it does not say in time whether it does. */
export async function connectToListener(
  connection: VerifiedConnection,
  address: Endpoint,
  clock: Clock,
  signal: AbortSignal,
): Promise<Channel> {
  const opening = connection.open(address, { address: '127.0.0.1', port: 0 });
  try {
    return await firstToEnd<Channel>(signal, [waitFor(opening), (over) => tooLate(connection, clock, over)]);
  } catch (error) {
    discardLate(opening);
    throw error;
  }
}

async function tooLate(connection: VerifiedConnection, clock: Clock, signal: AbortSignal): Promise<never> {
  await patience(connection, PATIENCE_MS, clock, signal);
  throw new Error('the server did not say in time whether it connects us to its listener');
}

/** While much leaves, what was asked may still wait behind it, here or in the kernel, and the server is not late with its answer. */
async function patience(
  { transport }: VerifiedConnection,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const started = clock.now();
  for (let before = transport.traffic(); ;) {
    await sleep(clock, ms, signal);
    const now = transport.traffic();
    const moves = now.bytesSent - before.bytesSent > MUCH_BYTES;
    if (!moves || clock.now() - started > LONGEST_PATIENCE_MS) return;
    before = now;
  }
}

/**
 * The visitor and the answer to a question come on one connection: what has not come a round trip and a while later never will. The
 * second question leaves after our word that we take the visitor, for which the server waits before it passes anything on.
 */
export function untilMissing(
  connection: VerifiedConnection,
  clock: Clock,
  signal: AbortSignal,
): Promise<'missing' | 'slow'> {
  const asked = clock.now();
  const answered = async (over: AbortSignal) => {
    await abortable(connection.ping(), over);
    await abortable(connection.ping(), over);
    await sleep(clock, Math.max(LATER_MS, 4 * (clock.now() - asked)), over);
    return 'missing' as const;
  };
  const slow = (over: AbortSignal) =>
    patience(connection, PATIENCE_MS + LATER_MS, clock, over).then(() => 'slow' as const);
  return firstToEnd<'missing' | 'slow'>(signal, [answered, slow]);
}

/** For the server to open the connection, and for an answer; it may be far away or busy. */
const PATIENCE_MS = 5000;
/** What the words may take longer than an answer to a question, at least: a lost packet is repeated by then. */
const LATER_MS = 2000;
const LONGEST_PATIENCE_MS = 60_000;
/** More than questions and answers, less than the slowest link carries in that time when it is full. */
const MUCH_BYTES = 4096;

/** What it means that a place was not reached. */
export function resultOfFailure(failure: TunnelFailure, serverVersion: string): ProbeResult {
  const { code, message } = failure;
  if (code === 'forward-refused') return { type: 'unknown', why: message, forbidden: isProhibited(failure) };
  if (code !== 'target-unreachable') return { type: 'unknown', why: message, passing: true };
  if (!serverVersion.startsWith('OpenSSH')) return { type: 'none' };
  return NOT_LISTENING.test(message) ? { type: 'none' } : { type: 'unknown', why: message };
}

export const NOT_OPENSSH = 'the server is not OpenSSH, and what it says of its own ports is not to be relied on';

/** What sshd says where nothing can listen or nothing does; it also says when it could not find out, as with AddressFamily inet. */
const NOT_LISTENING = /refused|no such file|assign requested address|unreachable|no route|not supported by protocol/i;

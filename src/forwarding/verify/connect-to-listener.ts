import { firstToEnd } from '../../lib/async/scope.ts';
import { abortable } from '../../lib/async/abort.ts';
import { sleep, type Clock } from '../../lib/async/clock.ts';
import type { TunnelFailure } from '../../model/failure.ts';
import type { OwnKeys } from './own-keys.ts';
import type { ProbeResult } from './results.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Channel, SshConnection } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';
import { isProhibited } from '../../connection/ssh2/open-channel.ts';

/** What verification needs of the connection. */
export type VerifiedConnection = Pick<SshConnection, 'open' | 'ping' | 'serverVersion' | 'transport'>;

export interface VerifyDeps {
  readonly connection: VerifiedConnection;
  readonly clock: Clock;
  /** Unguessable text. */
  readonly nonce: () => string;
  /** The SSH host keys of this type, as key blobs, of this device and of the listener's target. */
  ownKeys(listen: Endpoint, type: string): Promise<OwnKeys>;
}

/** Has the server open a connection to this address. Rejects also where the server does not answer in time. */
export async function connectToListener(address: Endpoint, deps: VerifyDeps, signal: AbortSignal): Promise<Channel> {
  const open = (over: AbortSignal) =>
    abortable(deps.connection.open(address, { address: '127.0.0.1', port: 0 }), over, discard);
  return await firstToEnd<Channel>(signal, [open, (over) => tooLate(deps, over)], discard);
}

async function tooLate(deps: VerifyDeps, signal: AbortSignal): Promise<never> {
  await patience(deps, PATIENCE_MS, signal);
  throw new Error('the server did not answer in time to the request for a connection to its listener');
}

/** While much data is sent, a request may still wait behind it, here or in the kernel: the server is not late with its answer. */
async function patience({ connection, clock }: VerifyDeps, ms: number, signal: AbortSignal): Promise<void> {
  const { transport } = connection;
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
 * Resolves when the nonce should have arrived. Visitor and answers come on one connection: a nonce that has not arrived a round trip and
 * a while later never will. The second round trip begins after our acceptance of the visitor, for which the server waits before it
 * relays any data.
 */
export function untilMissing(deps: VerifyDeps, signal: AbortSignal): Promise<'missing' | 'slow'> {
  const { connection, clock } = deps;
  const requested = clock.now();
  const answered = async (over: AbortSignal) => {
    await abortable(connection.ping(), over);
    await abortable(connection.ping(), over);
    await sleep(clock, Math.max(LATER_MS, 4 * (clock.now() - requested)), over);
    return 'missing' as const;
  };
  const slow = (over: AbortSignal) => patience(deps, PATIENCE_MS + LATER_MS, over).then(() => 'slow' as const);
  return firstToEnd<'missing' | 'slow'>(signal, [answered, slow]);
}

/** For the server to open the connection, and for an answer: it may be far away or busy. */
const PATIENCE_MS = 5000;
/** The nonce may take so much longer than an answer, at least: a lost packet is sent again by then. */
const LATER_MS = 2000;
const LONGEST_PATIENCE_MS = 60_000;
/** More than requests and answers, less than the slowest link carries in that time when it is full. */
const MUCH_BYTES = 4096;

/** The result for an address to which no connection was made. */
export function resultOfFailure(failure: TunnelFailure, serverVersion: string): ProbeResult {
  const { code, message } = failure;
  if (code === 'forward-refused') return { type: 'unknown', why: message, forbidden: isProhibited(failure) };
  if (code !== 'target-unreachable') return { type: 'unknown', why: message, passing: true };
  if (!serverVersion.startsWith('OpenSSH')) return { type: 'none' };
  return NOT_LISTENING.test(message) ? { type: 'none' } : { type: 'unknown', why: message };
}

export const NOT_OPENSSH = 'the server is not OpenSSH, and its answers about its own ports are not reliable';

/** What sshd answers where nothing listens; it has other texts where it could not find out, as with AddressFamily inet. */
const NOT_LISTENING = /refused|no such file|assign requested address|unreachable|no route|not supported by protocol/i;

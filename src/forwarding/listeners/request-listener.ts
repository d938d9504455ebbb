import { waitFor } from '../../lib/async/scope.ts';
import { deadline } from '../../lib/async/deadline.ts';
import type { Clock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import type { Holdings } from './holdings.ts';
import type { RefusalReason } from './refusal-reason.ts';
import type { Refusal } from '../../model/state.ts';
import { inUseHint } from '../verify/sights.ts';
import { type Endpoint, formatEndpoint } from '../../model/spec.ts';
import type { SshConnection } from '../../connection/ssh/connection.ts';

interface AskDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly holdings: Holdings;
  /** Whether this connection has answered the question before: it is not doubted any more. */
  readonly heard: boolean;
  onGranted(index: number, port: number, rttMs: number): void;
  onRefused(index: number, refusal: Refusal, failure: TunnelFailure, elsewhere: boolean): void;
}

/** The port it listens on, or null where the server refused; that is then reported. */
export async function askForListener(
  connection: SshConnection,
  listen: Endpoint,
  index: number,
  refusal: () => Promise<RefusalReason>,
  { clock, log, holdings, heard, onGranted, onRefused }: AskDeps,
  signal: AbortSignal,
): Promise<number | null> {
  const asked = clock.now();
  try {
    const question = connection.listen(listen);
    const port = await (heard ? question : inTime(question, clock, signal));
    onGranted(index, port, clock.now() - asked);
    return port;
  } catch (error) {
    signal.throwIfAborted();
    const { code, message, cause } = asFailure(error);
    if (code !== 'forward-refused') throw error;
    log.debug(`${formatEndpoint(listen)} refused`);
    const why = await refusal();
    const text = why.reason === '' ? message : `${message}: ${why.reason}`;
    const hint = why.other === undefined ? undefined : inUseHint(why.other);
    if (why.other !== undefined) holdings.sighted(listen, why.other);
    onRefused(
      index,
      why.refusal,
      new TunnelFailure(code, text, { cause, ...(hint === undefined ? {} : { hint }) }),
      false,
    );
    return null;
  }
}

/** A server that answers other things but not this one would leave us without a listener for ever. */
function inTime(question: Promise<number>, clock: Clock, signal: AbortSignal): Promise<number> {
  const late = () => {
    const text = `the server did not say within ${ANSWER_MS / 1000} s whether it listens`;
    return new TunnelFailure('keepalive-lost', text);
  };
  return deadline(clock, ANSWER_MS, late, waitFor(question), signal);
}

const ANSWER_MS = 30_000;

/**
 * The reason is found out once: to look is to visit whoever listens there, and sshd (serverloop.c) takes traffic to a dead client
 * of ours for a reason to wait longer before it asks whether that is alive. Where it matters who that is, it is looked again, ever more
 * seldom.
 */
export function seldom<T>(find: () => Promise<T>, matters: () => boolean, clock: Clock): () => Promise<T> {
  let found: Promise<T> | null = null;
  let again = { at: 0, pauseMs: SELDOM_MS };
  return () => {
    if (found !== null && !(clock.now() >= again.at && matters())) return found;
    again = { at: clock.now() + again.pauseMs, pauseMs: Math.min(again.pauseMs * 2, LONGEST_SELDOM_MS) };
    return (found = find());
  };
}

const SELDOM_MS = 60_000;
const LONGEST_SELDOM_MS = 15 * 60_000;

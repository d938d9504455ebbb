import { abortable } from '../../lib/async/abort.ts';
import { sleepUntil, type Subscribe } from '../../lib/async/clock.ts';
import { deadline } from '../../lib/async/deadline.ts';
import { untilOneFails, waitFor } from '../../lib/async/scope.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { SshConnection } from '../../connection/ssh/connection.ts';
import type { CertificateFacts } from '../../model/certificate.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { type Endpoint, formatEndpoint } from '../../model/endpoint.ts';
import type { ForwardSpec, TunnelSpec } from '../../model/spec.ts';
import type { Up } from '../verify/judge.ts';
import type { Verifier } from '../verify/listener-verifier.ts';
import type { VerifyResult } from '../verify/results.ts';
import type { Owners } from './owners.ts';
import { type Command, type ListenerEvent, type Refused, type Report, startLife, step } from './listener-life.ts';
import type { ListenersOptions } from './suspendable-listeners.ts';
import { refusalReason } from './refusal-reason.ts';

export interface RemoteListenersOptions extends ListenersOptions {
  readonly log: Logger;
  /** Whether this tunnel was up before: then a dead connection of ours may hold a listener. */
  readonly wasUp: boolean;
  /** That of the login; null for a login without. */
  readonly certificate: CertificateFacts | null;
  readonly verify: TunnelSpec['verify'];
  readonly verifier: Pick<Verifier, 'verify' | 'identify' | 'isExposed'>;
  /** The tunnel's name. */
  readonly tunnel: string;
  /** Whose these listeners are. */
  readonly owners: Owners;
  /** Calls back when a person has decided that listeners be taken. */
  readonly onTaken: Subscribe;
  /** Calls back when all listeners are to be verified now. */
  readonly onRecheck: Subscribe;
  /** The server listens; whether visitors come out here is still being verified. */
  onGranted(index: number, port: number, rttMs: number): void;
  /** The listener came free after so many seconds in which a dead connection of ours most likely had it. */
  onEvicted(seconds: number): void;
  onUp(index: number, seen: Pick<Up, 'unverified' | 'misplaced'>): void;
  /** A listener that is up is open to all, though it was requested on loopback. */
  onExposed(index: number): void;
  onRefused(index: number, refused: Refused): void;
}

/**
 * Requests all listeners of the server at once, and those that it refuses again and again on the same connection: a port in use is no
 * reason for a new login, and is ours as soon as the server frees it. Each is verified again from time to time. Never resolves;
 * rejects only with the connection or the signal.
 */
export function keepRemoteListeners(
  connection: SshConnection,
  forwards: readonly ForwardSpec[],
  options: RemoteListenersOptions,
  signal: AbortSignal,
): Promise<never> {
  const remote = [...forwards.entries()].filter(([, { kind }]) => kind === 'remote');
  const kept = remote.map(
    ([index, { listen }]) =>
      (own: AbortSignal) =>
        keepForward({ connection, listen, index }, options, own),
  );
  return untilOneFails(signal, kept);
}

interface Kept {
  readonly connection: SshConnection;
  readonly listen: Endpoint;
  readonly index: number;
}

/** Drives the state machine of a listener: executes the command of each step, and passes its event to the next one. */
async function keepForward(kept: Kept, options: RemoteListenersOptions, signal: AbortSignal): Promise<never> {
  const { listen, index } = kept;
  const { clock, random, access, verify, tunnel } = options;
  const moment = () => ({ now: clock.now(), random, suspended: access.isSuspended(index) });
  let acquired = false;
  try {
    for (let [life, reports, command] = startLife(moment()); ;) {
      for (const one of reports) {
        report(one, kept, options);
        if (one.type === 'release') acquired = false;
      }
      const event = await execute(command, kept, options, signal);
      if (event.type === 'acquired') acquired = true;
      [life, reports, command] = step(life, event, { listen, verify, tunnel }, moment());
    }
  } finally {
    if (acquired) access.release(index);
  }
}

function report(one: Report, { listen, index }: Kept, options: RemoteListenersOptions): void {
  switch (one.type) {
    case 'release':
      return options.access.release(index);
    case 'other-seen':
      return options.owners.rememberOther(listen, one.other);
    case 'owned':
      return options.owners.rememberOurs(listen);
    case 'answered':
      return options.onAnswered(index);
    case 'up':
      return options.onUp(index, one);
    case 'exposed':
      return options.onExposed(index);
    case 'suspended':
      return options.onSuspended(index);
    case 'refused':
      return options.onRefused(index, one);
    case 'evicted':
      return options.onEvicted(one.seconds);
  }
}

async function execute(
  command: Command,
  { connection, listen, index }: Kept,
  options: RemoteListenersOptions,
  signal: AbortSignal,
): Promise<ListenerEvent> {
  const { clock, owners, access, verifier, onTaken, onRecheck } = options;
  const see = (result: () => Promise<VerifyResult>): Promise<VerifyResult> =>
    options.verify === 'off' ? Promise.resolve({ type: 'unknown', why: 'verify: off' }) : abortable(result(), signal);
  switch (command.type) {
    case 'check-owner': {
      const ownership = owners.ownership(listen);
      const isWatched = command.watched && ownership.type === 'copied';
      const watchedMs = isWatched ? clock.now() - owners.watchedSince(listen, clock.now()) : 0;
      return { type: 'owner-checked', ownership, watchedMs };
    }
    case 'sleep': {
      const wakers = { nothing: [], taken: [onTaken], recheck: [onRecheck, access.onSuspended(index)] };
      await sleepUntil(clock, command.ms, wakers[command.wakes], signal);
      return { type: 'slept' };
    }
    case 'acquire':
      await access.acquire(index, signal);
      return { type: 'acquired' };
    case 'request':
      return await request(connection, listen, index, command.bounded, options, signal);
    case 'diagnose': {
      const identify = (port: number) => see(() => verifier.identify(listen, port));
      return { type: 'diagnosed', reason: await refusalReason(listen, options.wasUp, options.certificate, identify) };
    }
    case 'identify':
      return { type: 'verified', result: await see(() => verifier.identify(listen, portOf(listen), true)) };
    case 'verify':
      return { type: 'verified', result: await see(() => verifier.verify(listen, command.port)) };
    case 'check-exposure':
      return { type: 'exposure', exposed: await abortable(verifier.isExposed(listen, command.port), signal) };
    case 'renew':
      return { type: 'renewed', granted: await abortable(renew(connection, at(listen, command.port)), signal) };
    case 'cancel':
      await abortable(connection.unlisten(at(listen, command.port)), signal);
      return { type: 'cancelled' };
  }
}

/** Only the first answer of a connection is bounded: a server that answers everything else would leave the tunnel without a listener. */
async function request(
  connection: SshConnection,
  listen: Endpoint,
  index: number,
  bounded: boolean,
  { clock, log, owners, onGranted }: RemoteListenersOptions,
  signal: AbortSignal,
): Promise<ListenerEvent> {
  const requested = clock.now();
  const late = () =>
    new TunnelFailure('keepalive-lost', `the server did not say within ${ANSWER_MS / 1000} s whether it listens`);
  const answer = waitFor(connection.listen(listen));
  try {
    const port = await (bounded ? deadline(clock, ANSWER_MS, late, answer, signal) : answer(signal));
    onGranted(index, port, clock.now() - requested);
    return { type: 'granted', port };
  } catch (error) {
    signal.throwIfAborted();
    const failure = asFailure(error);
    if (failure.code !== 'forward-refused') throw error;
    log.debug(`${formatEndpoint(listen)} refused`);
    return { type: 'refused', failure, isNew: owners.isNew(listen) };
  }
}

const ANSWER_MS = 30_000;

/** Cancels the listener and requests it again. Both requests leave together; false where another program was faster all the same. */
async function renew(connection: SshConnection, endpoint: Endpoint): Promise<boolean> {
  const given = connection.unlisten(endpoint);
  const granted = connection.listen(endpoint).then(
    () => true,
    (error: unknown) => {
      if (asFailure(error).code === 'forward-refused') return false;
      throw error;
    },
  );
  const [answer] = await Promise.all([granted, given]);
  return answer;
}

/** The listener with the port that the server chose, where it chose one. */
function at(listen: Endpoint, port: number): Endpoint {
  return listen.type === 'tcp' ? { ...listen, port } : listen;
}

function portOf(listen: Endpoint): number {
  return listen.type === 'tcp' ? listen.port : 0;
}

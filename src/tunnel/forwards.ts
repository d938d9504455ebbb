import { childController } from '../lib/abort.ts';
import { allOnce } from '../lib/all-once.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { askAgainAfter } from './ask-again.ts';
import { asFailure, TunnelFailure } from './failure.ts';
import type { Answerer, Inspector } from './inspector.ts';
import type { Lease } from './lease.ts';
import { inUseReason, refusalReason, type Refusal } from './refusal.ts';
import { formatEndpoint, type Endpoint, type ForwardSpec, type TunnelSpec } from './spec.ts';
import type { SshConnection } from './ssh.ts';

export interface ForwardsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Whether this tunnel was up before, so that a dead connection of ours may be in the way. */
  readonly wasUp: boolean;
  readonly verify: TunnelSpec['verify'];
  readonly inspector: Pick<Inspector, 'look'>;
  /** What this tunnel lends is given back to the server, and asked for again when it is taken back. */
  readonly lease: Lease;
  /** Registers what "verify now" means; the answer forgets it. */
  onRecheck(recheck: () => void): () => void;
  /** The server listens, but whether visitors come out here is still being looked at. */
  onGranted(index: number, port: number, rttMs: number): void;
  /** It is up; `unverified` says why nobody knows whether it leads here, null when it does. */
  onUp(index: number, unverified: string | null): void;
  /** `elsewhere` says that visitors were seen to come out somewhere else. */
  onRefused(index: number, refusal: Refusal, failure: TunnelFailure, elsewhere: boolean): void;
  /** It was given back, for another tunnel. */
  onLent(index: number): void;
  /** Every one was answered once. */
  onAnswered(): void;
}

/**
 * Asks the server for every listener of its own, all at once, and goes on asking on the same connection for those it refuses: a
 * port held by somebody else is no reason for a new login, and it is ours as soon as the server frees it. From time to time each
 * is looked at again. Never resolves; rejects only with the connection or the signal.
 */
export async function keepForwards(
  connection: SshConnection,
  forwards: readonly ForwardSpec[],
  options: ForwardsOptions,
  signal: AbortSignal,
): Promise<never> {
  const remote = [...forwards.entries()].filter(([, { kind }]) => kind === 'remote');
  const answered = allOnce(remote.length, options.onAnswered);
  const kept = remote.map(([index, { listen }], at) =>
    keepForward(connection, listen, index, answered[at]!, options, signal),
  );
  return await Promise.race([...kept, new Promise<never>(() => {})]);
}

async function keepForward(
  connection: SshConnection,
  listen: Endpoint,
  index: number,
  answered: () => void,
  options: ForwardsOptions,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random, lease } = options;
  const look = (port: number, quietly = false): Promise<Answerer> =>
    options.verify === 'off'
      ? Promise.resolve({ type: 'unknown', why: 'verify: off' })
      : options.inspector.look(listen, port, quietly);
  const findReason = () => once(() => refusalReason(listen, options.wasUp, (port) => look(port, true)));
  let refusal = findReason();
  let losses = 0;
  for (let since = clock.now(); ;) {
    // Nobody waits for what was lent.
    if (lease.isLent(index)) answered();
    await lease.enter(index, signal);
    let port: number | null;
    try {
      port = await ask(connection, listen, index, refusal, options, signal);
      const verdict = port === null ? 'lost' : await judge(await lookTwice(port), port);
      answered();
      if (port !== null && verdict !== 'lost') {
        losses = 0;
        await untilLost(port, verdict);
        since = clock.now();
        refusal = findReason();
      }
    } finally {
      lease.leave(index);
    }
    if (lease.isLent(index)) continue;
    // A stranger is not visited every second.
    if (port !== null) losses += 1;
    const pause = port === null ? 0 : Math.min(1000 * 2 ** losses, LONGEST_PAUSE_MS);
    await sleep(clock, Math.max(pause, askAgainAfter(clock.now() - since, random)), signal);
  }

  /** What came late once is no reason to give a listener back that works. */
  async function lookTwice(port: number): Promise<Answerer> {
    const answerer = await look(port);
    return isMiss(answerer) ? await look(port) : answerer;
  }

  /** Where it is not ours, it has been given back. */
  async function judge(answerer: Answerer, port: number, before: Verdict = 'unproven'): Promise<Verdict | 'lost'> {
    // Once proven, a moment in which nobody can tell takes nothing back.
    const mayBeUp = options.verify !== 'required' || before !== 'unproven';
    if (answerer.type === 'ours' || (answerer.type === 'unknown' && mayBeUp)) {
      options.onUp(index, answerer.type === 'ours' ? null : answerer.why);
      return answerer.type === 'unknown' && answerer.passing === true ? 'unseen' : 'held';
    }
    if (answerer.type === 'unknown') {
      options.onRefused(index, 'unknown', unverifiable(listen, answerer.why), false);
      return 'unproven';
    }
    const lost = new TunnelFailure(
      'forward-refused',
      answerer.type === 'nobody'
        ? `the server says that it listens on ${formatEndpoint(listen)}, but nobody does`
        : `visitors of ${formatEndpoint(listen)} do not come out here: ${inUseReason(answerer.who)}`,
    );
    await giveBack(port);
    options.onRefused(index, answerer.type === 'other' ? 'in-use' : 'unknown', lost, answerer.type === 'other');
    return 'lost';
  }

  function giveBack(port: number): Promise<void> {
    return connection.unlisten(listen.type === 'tcp' ? { ...listen, port } : listen);
  }

  /** While it is ours: looks again from time to time, and when somebody wants to know. */
  async function untilLost(port: number, verdict: Verdict): Promise<void> {
    let unseen = 0;
    for (let last = verdict; ;) {
      unseen = last === 'unseen' ? unseen + 1 : 0;
      if (!lease.isLent(index)) await rest(clock, lookAgainAfter(last, unseen) * (1 + random() / 3), options, signal);
      if (lease.isLent(index)) {
        options.onLent(index);
        await giveBack(port);
        return;
      }
      let answerer = await look(port);
      for (let misses = 1; misses < MISSES && isMiss(answerer); misses += 1) {
        await sleep(clock, BETWEEN_MISSES_MS, signal);
        answerer = await look(port);
      }
      const next = await judge(answerer, port, last);
      if (next === 'lost') return;
      last = next;
    }
  }
}

/** `unseen` is held, and could not be seen by an accident, such as a server that was slow. */
type Verdict = 'held' | 'unproven' | 'unseen';

function isMiss({ type }: Answerer): boolean {
  return type === 'other' || type === 'nobody';
}

/** As many in a row take a listener back that worked. */
const MISSES = 3;
const BETWEEN_MISSES_MS = 5000;
const LONGEST_PAUSE_MS = 300_000;

/** Seldom: each look is a few packets and wakes a device that may be asleep on its battery. */
const VERIFY_EVERY_MS = 15 * 60_000;

/** A tunnel waits for it. */
const UNPROVEN_MS = 60_000;

function lookAgainAfter(last: Verdict, unseen: number): number {
  if (last === 'unproven') return UNPROVEN_MS;
  return last === 'held' ? VERIFY_EVERY_MS : Math.min(UNPROVEN_MS * 2 ** (unseen - 1), VERIFY_EVERY_MS);
}

/** Sleeps, until somebody wants to know at once, or wants it. */
async function rest(
  clock: Clock,
  ms: number,
  { onRecheck, lease }: ForwardsOptions,
  signal: AbortSignal,
): Promise<void> {
  const nap = childController(signal);
  const wake = () => nap.abort(new Error('awake'));
  const forget = [onRecheck(wake), lease.onChange(wake)];
  try {
    await sleep(clock, ms, nap.signal);
  } catch (error) {
    if (signal.aborted) throw error;
  } finally {
    for (const end of forget) end();
    nap.dispose();
  }
}

/** The port it listens on, or null where the server refused; that is then reported. */
async function ask(
  connection: SshConnection,
  listen: Endpoint,
  index: number,
  refusal: () => Promise<{ readonly refusal: Refusal; readonly reason: string }>,
  { clock, log, onGranted, onRefused }: ForwardsOptions,
  signal: AbortSignal,
): Promise<number | null> {
  const asked = clock.now();
  try {
    const port = await connection.listen(listen);
    onGranted(index, port, clock.now() - asked);
    return port;
  } catch (error) {
    signal.throwIfAborted();
    const { code, message, cause } = asFailure(error);
    if (code !== 'forward-refused') throw error;
    log.debug(`${formatEndpoint(listen)} refused`);
    const why = await refusal();
    const text = why.reason === '' ? message : `${message}: ${why.reason}`;
    onRefused(index, why.refusal, new TunnelFailure(code, text, { cause }), false);
    return null;
  }
}

/**
 * The reason is found out once: to look is to visit whoever listens there, and sshd (serverloop.c) takes traffic to a dead client
 * of ours for a reason to wait longer before it asks whether that is alive.
 */
function once<T>(find: () => Promise<T>): () => Promise<T> {
  let found: Promise<T> | null = null;
  return () => (found ??= find());
}

function unverifiable(listen: Endpoint, why: string): TunnelFailure {
  const text = `the server listens on ${formatEndpoint(listen)}, but whether that leads here cannot be verified (verify: required): ${why}`;
  return new TunnelFailure('forward-refused', text);
}

import { sleepUntil } from '../../lib/async/deadline.ts';
import { allOnce } from '../../lib/async/all-once.ts';
import { sleep, type Clock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { untilAdmitted } from './admission.ts';
import { askAgainAfter } from './retry-delay.ts';
import { askForListener, seldom } from './request-listener.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import type { Holdings } from './holdings.ts';
import type { Inspector } from '../verify/listener-verifier.ts';
import { isMiss, judge, lookAgainAfter, type Standing, type Up } from '../verify/judge.ts';
import type { Lease } from './listener-lease.ts';
import { refusalReason } from './refusal-reason.ts';
import { type Refusal } from '../../model/state.ts';
import type { Answerer } from '../verify/sights.ts';
import { type Endpoint, type ForwardSpec, type TunnelSpec } from '../../model/spec.ts';
import type { SshConnection } from '../../connection/ssh/connection.ts';

export interface ForwardsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Whether this tunnel was up before, so that a dead connection of ours may be in the way. */
  readonly wasUp: boolean;
  readonly verify: TunnelSpec['verify'];
  readonly inspector: Pick<Inspector, 'look' | 'watch' | 'isExposed'>;
  /** The tunnel's name. */
  readonly tunnel: string;
  /** What is remembered of these listeners. */
  readonly holdings: Holdings;
  /** Registers what follows when a person has said that listeners be taken; the answer forgets it. */
  onTaken(listener: () => void): () => void;
  /** What this tunnel lends is given back to the server, and asked for again when it is taken back. */
  readonly lease: Lease;
  /** Registers what "verify now" means; the answer forgets it. */
  onRecheck(recheck: () => void): () => void;
  /** The server listens, but whether visitors come out here is still being looked at. */
  onGranted(index: number, port: number, rttMs: number): void;
  /**
   * It is up; `unverified` says why nobody knows whether it leads here, null when it does; `misplaced` that it was seen not to be where
   * it was asked for.
   */
  onUp(index: number, seen: Pick<Up, 'unverified' | 'misplaced'>): void;
  /** A listener that is up is open to all, though it was asked for on loopback. */
  onExposed(index: number): void;
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
  const { clock, random, lease, verify, holdings } = options;
  const seeing = (see: () => Promise<Answerer>): Promise<Answerer> =>
    verify === 'off' ? Promise.resolve({ type: 'unknown', why: 'verify: off' }) : see();
  const look = (port: number) => seeing(() => options.inspector.look(listen, port));
  const watch = (port: number, pulse = false) => seeing(() => options.inspector.watch(listen, port, pulse));
  const findReason = () =>
    seldom(
      () => refusalReason(listen, options.wasUp, watch),
      () => holdings.isNew(listen),
      clock,
    );
  let refusal = findReason();
  let losses = 0;
  let heard = false;
  for (let since = clock.now(); ;) {
    // Nobody waits for what was lent.
    if (lease.isLent(index)) answered();
    await untilAdmitted(listen, { ...options, look: () => watch(portOf(listen), true), onWaiting }, signal);
    await lease.enter(index, signal);
    let port: number | null;
    try {
      port = await askForListener(connection, listen, index, refusal, { ...options, heard }, signal);
      heard = true;
      const standing = port === null ? null : await settle(await lookTwice(port), port);
      answered();
      if (port !== null && standing !== null) {
        losses = 0;
        if (standing === 'held' && verify !== 'off' && (await options.inspector.isExposed(listen, port)))
          options.onExposed(index);
        await untilLost(port, standing);
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

  function onWaiting(failure: TunnelFailure, elsewhere: boolean): void {
    options.onRefused(index, elsewhere ? 'in-use' : 'unknown', failure, elsewhere);
    answered();
  }

  /** What came late once is no reason to give a listener back that works. */
  async function lookTwice(port: number): Promise<Answerer> {
    const answerer = await look(port);
    return isMiss(answerer) ? await look(port) : answerer;
  }

  /** Carries out what follows from who answers; null where the listener has been given back. */
  async function settle(answerer: Answerer, port: number, before?: Standing): Promise<Standing | null> {
    if (answerer.type === 'part' || answerer.type === 'other') {
      holdings.sighted(listen, answerer.type === 'part' ? answerer.other : answerer);
      // It is another device's: what leads here of it is not ours either.
      if (holdings.claim(listen).type === 'barred') {
        await giveBack(port);
        return null;
      }
    }
    const judgement = judge(listen, answerer, verify, before);
    if (judgement.type === 'up') {
      holdings.hold(listen);
      options.onUp(index, judgement);
      return judgement.standing;
    }
    const { standing, refusal: why, failure, elsewhere } = judgement;
    if (standing === null) await giveBack(port);
    options.onRefused(index, why, failure, elsewhere);
    return standing;
  }

  function giveBack(port: number): Promise<void> {
    return connection.unlisten(listen.type === 'tcp' ? { ...listen, port } : listen);
  }

  /** While the server listens for us: looks again from time to time, and when somebody wants to know. */
  async function untilLost(port: number, standing: Standing): Promise<void> {
    let repeated = 0;
    for (let last = standing; ;) {
      if (!lease.isLent(index))
        await sleepUntil(
          clock,
          lookAgainAfter(last, repeated) * (1 + random() / 3),
          [options.onRecheck, lease.onChange],
          signal,
        );
      if (lease.isLent(index)) {
        options.onLent(index);
        await giveBack(port);
        return;
      }
      let answerer = await look(port);
      // What is ours in part is looked at often enough.
      const looks = last === 'part' ? 1 : LOOKS;
      for (let misses = 1; misses < looks && isMiss(answerer); misses += 1) {
        await sleep(clock, BETWEEN_MISSES_MS, signal);
        answerer = await look(port);
      }
      // Who had the rest has left.
      if (last === 'part' && answerer.type === 'ours' && !answerer.whole) {
        if (!(await askAnew(port))) return;
        answerer = await look(port);
      }
      const next = await settle(answerer, port, last);
      if (next === null) return;
      repeated = next === last ? repeated + 1 : 0;
      last = next;
    }
  }

  /** Asks for all of it; both requests leave together, so that nobody else gets it in between. False where somebody did. */
  async function askAnew(port: number): Promise<boolean> {
    const given = giveBack(port);
    const granted = connection.listen(listen.type === 'tcp' ? { ...listen, port } : listen).then(
      () => true,
      (error: unknown) => {
        if (asFailure(error).code === 'forward-refused') return false;
        throw error;
      },
    );
    const [answer] = await Promise.all([granted, given]);
    return answer;
  }
}

/** As many in a row take a listener back that worked. */
const LOOKS = 3;
const BETWEEN_MISSES_MS = 5000;
const LONGEST_PAUSE_MS = 300_000;

function portOf(listen: Endpoint): number {
  return listen.type === 'tcp' ? listen.port : 0;
}

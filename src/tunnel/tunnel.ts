import { deferred } from '../lib/async/abort.ts';
import { sleep } from '../lib/async/clock.ts';
import { untilOneFails, waitFor } from '../lib/async/scope.ts';
import { ownTick } from '../lib/async/slices.ts';
import { makeAttempt } from './attempt.ts';
import { createTunnel, dialDeps, hasWorked, type Tunnel } from './tunnel-context.ts';
import { interrupt, mayTryAgain, nextAttempt } from './next-attempt.ts';
import { nextDialAt } from '../net/dial.ts';
import { firstHop } from '../net/first-hop.ts';
import type { TunnelDeps } from './tunnel-deps.ts';
import type { TunnelSpec } from '../model/spec.ts';

/**
 * Keeps one tunnel up until the signal is aborted: one session after the other. nextAttempt() decides *when* to try, makeAttempt() is
 * what is tried. A round lasts until there is a reason to try at once: a person, a change of the network or of what the tunnel needs of
 * this machine, another tunnel that is logged in. Resolves when the signal is aborted.
 */
export async function runTunnel(spec: TunnelSpec, deps: TunnelDeps, signal: AbortSignal): Promise<void> {
  const tunnel = createTunnel(spec, deps);
  let tryNow: TryNow = () => {};
  const forget = listenForChanges(tunnel, (reason) => tryNow(reason));
  try {
    while (!signal.aborted) {
      const interrupted = deferred<never>();
      // In a tick of its own: a change of the network concerns all tunnels at once.
      tryNow = (reason = RETRY_NOW) => void ownTick().then(() => interrupted.reject(reason));
      try {
        await untilOneFails(signal, [
          waitFor(interrupted.promise),
          (round) => keepTrying(tunnel, tryNow, round, signal),
        ]);
      } catch (error) {
        const isUrgent = !NOT_URGENT.includes(error);
        if (error !== RETRY_NOW && isUrgent && !signal.aborted) throw error;
        tunnel.history = interrupt(tunnel.history, spec.reconnect, isUrgent, deps.random);
      }
    }
  } finally {
    forget();
    tunnel.needs.stop();
  }
  deps.store.dispatch({ type: 'stopped' });
}

/** Gives up the present attempt or wait and tries at once. */
type TryNow = (reason?: Error) => void;

/** One attempt after the other, with the waits between them. Rejects with the round's reason when that is over. */
async function keepTrying(tunnel: Tunnel, tryNow: TryNow, round: AbortSignal, signal: AbortSignal): Promise<never> {
  const { spec, deps, login } = tunnel;
  const { clock, random, store } = deps;
  for (;;) {
    const ended = await makeAttempt(tunnel, round, signal);
    round.throwIfAborted();
    const { failure } = ended;
    const outcome = {
      ...ended,
      worked: hasWorked(tunnel),
      turnInMs: () => untilOurTurn(tunnel),
      canJoin: deps.connections?.has(login) === true,
    };
    const { phase, delayMs, history } = nextAttempt(spec.reconnect, tunnel.history, outcome, clock.now(), random);
    tunnel.history = history;
    tunnel.failures.log(failure, delayMs);
    tunnel.needs.whenChanged(failure.code, tryNow);
    deps.heartbeat(delayMs + 30_000);
    store.dispatch({ type: 'scheduled', phase, retryAt: clock.now() + delayMs, failure });
    await sleep(clock, delayMs, round);
  }
}

function untilOurTurn(tunnel: Tunnel): number {
  const { clock } = tunnel.deps;
  const at = nextDialAt(firstHop(tunnel.spec), dialDeps(tunnel));
  return Number.isFinite(at) ? Math.max(0, at - clock.now()) : 0;
}

/** Subscribes to everything that may end a round; the result unsubscribes. */
function listenForChanges(tunnel: Tunnel, tryNow: TryNow): () => void {
  const { deps, login } = tunnel;
  const mayTry = () => mayTryAgain(tunnel.history, deps.store.state(), deps.clock.now());
  const forgetNetwork = deps.device.onChange(() => {
    if (mayTry()) tryNow();
  });
  const forgetOffers = deps.connections?.onOffer(login, () => {
    if (tunnel.seeker === null && mayTry()) tryNow(ANOTHER_IS_IN);
  });
  const forgetTurns = deps.device.turns.onSooner(() => {
    if (tunnel.seeker !== null) return;
    const { retryAt } = deps.store.state();
    if (mayTry() && retryAt !== null && retryAt - deps.clock.now() > untilOurTurn(tunnel) + SOONER_MS)
      tryNow(TURN_IS_SOONER);
  });
  deps.onRetryNow(() => {
    const { phase } = deps.store.state();
    const waits = phase === 'waiting' || phase === 'blocked' || phase === 'waiting-for-network';
    if (waits) tryNow();
    return waits;
  });
  return () => {
    forgetNetwork();
    forgetOffers?.();
    forgetTurns();
  };
}

const RETRY_NOW = new Error('retry now');
const ANOTHER_IS_IN = new Error('another tunnel with this login is in');
const TURN_IS_SOONER = new Error('its turn at the server comes sooner');
/** Reasons for which a tunnel still waits for its turn with the others. */
const NOT_URGENT: readonly unknown[] = [ANOTHER_IS_IN, TURN_IS_SOONER];

/** A turn that is sooner by less than this ends no wait. */
const SOONER_MS = 1000;

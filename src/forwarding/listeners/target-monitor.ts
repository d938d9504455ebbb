import { sleep, untilCalled, type Clock } from '../../lib/async/clock.ts';
import { timerBetween } from '../../lib/async/timer-between.ts';
import { untilOneFails } from '../../lib/async/scope.ts';
import { dialTarget } from '../../net/dial-target.ts';
import { asFailure, type TunnelFailure } from '../../model/failure.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { proxyHeader } from '../visitors/proxy-protocol.ts';
import type { ForwardSpec, TunnelSpec } from '../../model/spec.ts';

export interface TargetCheckDeps {
  readonly clock: Clock;
  readonly random: () => number;
  /** Whether this forward's target refused the last connection. */
  isFailing(index: number): boolean;
  /** Calls `wake` when a target has refused a visitor; the result unsubscribes. */
  onFailing(wake: () => void): () => void;
  /** Null when the target answers. */
  onTarget(index: number, failure: TunnelFailure | null): void;
}

/**
 * Connects to the target of each remote forward, and closes at once: now; every 15 to 20 minutes while it answers, because it may log
 * every connection; every minute while it does not. Rejects only with the signal's reason.
 */
export function watchTargets(
  spec: Pick<TunnelSpec, 'forwards' | 'connectTimeoutMs' | 'addressFamily'>,
  deps: TargetCheckDeps,
  signal: AbortSignal,
): Promise<never> {
  const { clock } = deps;
  const visit = async (forward: ForwardSpec, target: Endpoint, own: AbortSignal): Promise<TunnelFailure | null> => {
    try {
      const socket = await dialTarget(target, spec, clock, own);
      socket.resume().end(proxyHeader(forward, null) ?? '');
      socket.once(
        'close',
        clock.timer(GOODBYE_MS, () => socket.destroy()),
      );
      return null;
    } catch (error) {
      own.throwIfAborted();
      return asFailure(error);
    }
  };
  const watch = async (index: number, forward: ForwardSpec, target: Endpoint, own: AbortSignal): Promise<never> => {
    for (;;) {
      deps.onTarget(index, await visit(forward, target, own));
      await rest(index, deps, own);
    }
  };
  const watched = [...spec.forwards.entries()].flatMap(([index, forward]) => {
    const { kind, target } = forward;
    if (kind !== 'remote' || target.type === 'socks') return [];
    return [(own: AbortSignal) => watch(index, forward, target, own)];
  });
  return untilOneFails(signal, watched);
}

const GOODBYE_MS = 1000;
const SELDOM_MS = 15 * 60_000;
/** How long that can wait for something else that wakes the process. */
const SLACK_MS = 16_000;
const FAILING_MS = 60_000;

async function rest(index: number, deps: TargetCheckDeps, signal: AbortSignal): Promise<void> {
  const { clock, random } = deps;
  if (!deps.isFailing(index)) {
    const refused = (wake: () => void) =>
      deps.onFailing(() => {
        if (deps.isFailing(index)) wake();
      });
    const ms = SELDOM_MS * (1 + random() / 3);
    await untilCalled([(again) => timerBetween(clock, ms, ms + SLACK_MS, again), refused], signal);
    if (!deps.isFailing(index)) return;
  }
  await sleep(clock, FAILING_MS, signal);
}

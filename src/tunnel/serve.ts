import type { Bell } from '../lib/async/listeners.ts';
import { evict } from '../forwarding/listeners/evict-stale.ts';
import type { TunnelFailure } from '../model/failure.ts';
import { keepForwards } from '../forwarding/listeners/remote-listeners.ts';
import type { Verifier } from '../forwarding/verify/listener-verifier.ts';
import type { Up } from '../forwarding/verify/judge.ts';
import { keepLocalForwards } from '../forwarding/listeners/local-listeners.ts';
import type { Visitors } from '../forwarding/visitors/visitors.ts';
import type { SessionDeps } from './session-deps.ts';
import { formatEndpoint, type TunnelSpec } from '../model/spec.ts';
import type { Share } from '../connection/shared/shared-connection.ts';
import { EXPOSED, type ForwardState } from '../model/state.ts';
import { watchTargets } from '../forwarding/listeners/target-monitor.ts';

export interface ServingDeps extends Omit<SessionDeps, 'reach'> {
  readonly verifier: Verifier;
  readonly visitors: Visitors;
  /** Rings when a connection that was silent has shown life. */
  readonly doubtOver: Bell;
  /** Rings when a target has refused a visitor. */
  readonly targetFailed: Bell;
}

/** Keeps the listeners on both sides open and says when the tunnel is up, and when it is not any more. Never resolves. */
export async function keepServing(
  share: Pick<Share, 'connection' | 'notYetEvicted'>,
  spec: TunnelSpec,
  deps: ServingDeps,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random, log } = deps;
  const { connection } = share;
  const missing = new Set(spec.forwards.keys());
  let unanswered = 2;
  let evicted = false;

  const settle = () => {
    const some = missing.size < spec.forwards.length && !spec.exitOnForwardFailure;
    const isUp = unanswered === 0 && (missing.size === 0 || some);
    const { phase } = deps.state();
    if (isUp && phase !== 'up') deps.report({ phase: 'up' });
    if (!isUp && phase === 'up') deps.report({ phase: 'forwarding' });
  };
  const onAnswered = () => {
    unanswered -= 1;
    settle();
  };
  const onUp = (index: number, whose: string, { unverified, misplaced }: Pick<Up, 'unverified' | 'misplaced'>) => {
    const before = deps.state().forwards[index];
    const verified = unverified === null ? 'yes' : 'unknown';
    if (before?.state === 'refused') log.info(`${whose} listens on ${formatEndpoint(before.spec.listen)} now`);
    const change = { state: 'up', refusal: null, verified, unverified, misplaced } as const;
    if (before?.state !== 'up' || before.verified !== verified || before.unverified !== unverified)
      deps.reportForward(index, change);
    missing.delete(index);
    settle();
  };
  const onRefused = (index: number, refusal: ForwardState['refusal'], failure: TunnelFailure, elsewhere = false) => {
    const before = deps.state().forwards[index]?.verified;
    const verified = elsewhere || before === 'no' ? 'no' : 'unknown';
    deps.reportForward(index, {
      state: 'refused',
      refusal,
      verified,
      unverified: null,
      misplaced: false,
      exposed: false,
    });
    deps.reportFailure(failure);
    missing.add(index);
    settle();
  };
  const onLent = (index: number) => {
    deps.reportForward(index, {
      state: 'pending',
      verified: 'unknown',
      unverified: null,
      misplaced: false,
      exposed: false,
    });
    missing.add(index);
    settle();
  };
  const evictOnce = () => {
    const { ends } = connection.transport;
    if (evicted || ends === null) return;
    evicted = true;
    // Those of the tunnels that it carries may be the same.
    const earlierPorts = (current: number) => share.notYetEvicted(deps.earlierPorts(current));
    void evict(ends, earlierPorts, { clock, turns: deps.device.turns, spec }, signal);
  };

  const local = keepLocalForwards(
    spec.forwards,
    {
      clock,
      random,
      sockets: { replace: spec.streamLocalBindUnlink, mask: spec.streamLocalBindMask },
      lease: deps.lease,
      onVisitor: deps.visitors.acceptLocal,
      // Who connects to a listener of this device's kernel comes here and nowhere else.
      onUp: (index) => onUp(index, 'this device', { unverified: null, misplaced: false }),
      onRefused,
      onLent,
      onAnswered,
    },
    signal,
  );
  const remote = keepForwards(
    connection,
    spec.forwards,
    {
      clock,
      random,
      log,
      wasUp: deps.wasUp(),
      verify: spec.verify,
      tunnel: spec.name,
      holdings: deps.holdings,
      onTaken: deps.device.onTaken,
      verifier: deps.verifier,
      lease: deps.lease,
      onRecheck: deps.doubtOver.listen,
      onGranted: (index, port, rttMs) => {
        const { listen } = spec.forwards[index]!;
        const chosen = listen.type === 'tcp' && listen.port === 0 ? port : null;
        deps.reportForward(index, { boundPort: chosen });
        deps.report({ rttMs: Math.round(rttMs * 10) / 10 });
        if (chosen !== null) log.info(`the server chose port ${chosen} for ${formatEndpoint(listen)}`);
      },
      onUp: (index, seen) => onUp(index, 'the server', seen),
      onExposed: (index) => {
        const { spec: forward } = deps.state().forwards[index]!;
        log.warn(`${formatEndpoint(forward.listen)}: ${EXPOSED}`);
        deps.reportForward(index, { exposed: true });
      },
      onEvicted: (seconds) => {
        // A proxyCommand's connections come from ports that we do not know.
        if (connection.transport.ends !== null) deps.onEvicted(seconds);
      },
      onRefused: (index, { refusal, failure, elsewhere }) => {
        onRefused(index, refusal, failure, elsewhere);
        evictOnce();
      },
      onLent,
      onAnswered,
    },
    signal,
  );
  const targets = watchTargets(
    { ...spec, forwards: spec.verify === 'off' ? [] : spec.forwards },
    {
      clock,
      random,
      isFailing: (index) => deps.state().forwards[index]?.targetFailure != null,
      onFailing: deps.targetFailed.listen,
      onTarget: deps.visitors.reportTarget,
    },
    signal,
  );
  return await Promise.race([local, remote, targets]);
}

import type { Emitter } from '../lib/async/emitter.ts';
import { evict } from '../forwarding/listeners/evict-stale.ts';
import type { TunnelFailure } from '../model/failure.ts';
import { keepForwards } from '../forwarding/listeners/remote-listeners.ts';
import type { Verifier } from '../forwarding/verify/listener-verifier.ts';
import type { Up } from '../forwarding/verify/judge.ts';
import { keepLocalForwards } from '../forwarding/listeners/local-listeners.ts';
import type { Visitors } from '../forwarding/visitors/visitors.ts';
import type { SessionDeps } from './session-deps.ts';
import { familyOf } from '../net/address-family.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { Share } from '../connection/shared/shared-connection.ts';
import { EXPOSED, type ForwardState } from '../model/state.ts';
import { watchTargets } from '../forwarding/listeners/target-monitor.ts';

export interface ServingDeps extends Omit<SessionDeps, 'reach'> {
  readonly verifier: Verifier;
  readonly visitors: Visitors;
  /** Rings when a target has refused a visitor. */
  readonly targetFailed: Emitter;
}

/** Keeps the listeners on both sides open and says when the tunnel is up, and when it is not any more. Never resolves. */
export async function keepServing(
  share: Pick<Share, 'connection' | 'notYetEvicted'>,
  spec: TunnelSpec,
  deps: ServingDeps,
  signal: AbortSignal,
): Promise<never> {
  const tracker = trackForwards(spec, deps);
  const local = keepLocally(spec, tracker, deps, signal);
  const remote = keepRemotely(share, spec, tracker, deps, signal);
  const targets = watchTargets(
    { ...spec, forwards: spec.verify === 'off' ? [] : spec.forwards },
    {
      clock: deps.clock,
      random: deps.random,
      isFailing: (index) => deps.store.state().forwards[index]?.targetFailure != null,
      onFailing: deps.targetFailed.subscribe,
      onTarget: deps.visitors.reportTarget,
    },
    signal,
  );
  return await Promise.race([local, remote, targets]);
}

/** Reports how each forward stands, and from that whether the tunnel is up. */
interface ForwardTracker {
  onUp(index: number, whose: string, seen: Pick<Up, 'unverified' | 'misplaced'>): void;
  onRefused(index: number, refusal: ForwardState['refusal'], failure: TunnelFailure, elsewhere?: boolean): void;
  onSuspended(index: number): void;
  /** All listeners of the server, or of this device, have had a first answer. */
  onAnswered(): void;
}

function trackForwards(spec: TunnelSpec, deps: ServingDeps): ForwardTracker {
  const missing = new Set(spec.forwards.keys());
  let unanswered = 2;
  const report = (index: number, change: Partial<ForwardState>) =>
    deps.store.dispatch({ type: 'forward', index, change });
  const updatePhase = () => {
    const some = missing.size < spec.forwards.length && !spec.exitOnForwardFailure;
    const isUp = unanswered === 0 && (missing.size === 0 || some);
    const { phase } = deps.store.state();
    if (isUp && phase !== 'up') deps.store.dispatch({ type: 'up' });
    if (!isUp && phase === 'up') deps.store.dispatch({ type: 'incomplete' });
  };
  const onMissing = (index: number, change: Partial<ForwardState>) => {
    report(index, { ...change, unverified: null, misplaced: false, exposed: false });
    missing.add(index);
  };
  return {
    onUp: (index, whose, { unverified, misplaced }) => {
      const before = deps.store.state().forwards[index];
      const verified = unverified === null ? 'yes' : 'unknown';
      if (before?.state === 'refused') deps.log.info(`${whose} listens on ${formatEndpoint(before.spec.listen)} now`);
      const change = { state: 'up', refusal: null, verified, unverified, misplaced } as const;
      if (before?.state !== 'up' || before.verified !== verified || before.unverified !== unverified)
        report(index, change);
      missing.delete(index);
      updatePhase();
    },
    onRefused: (index, refusal, failure, elsewhere = false) => {
      const before = deps.store.state().forwards[index]?.verified;
      const verified = elsewhere || before === 'no' ? 'no' : 'unknown';
      onMissing(index, { state: 'refused', refusal, verified });
      deps.store.dispatch({ type: 'failed', failure });
      updatePhase();
    },
    onSuspended: (index) => {
      onMissing(index, { state: 'pending', verified: 'unknown' });
      updatePhase();
    },
    onAnswered: () => {
      unanswered -= 1;
      updatePhase();
    },
  };
}

function keepLocally(
  spec: TunnelSpec,
  tracker: ForwardTracker,
  deps: ServingDeps,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random, access: lease, visitors } = deps;
  return keepLocalForwards(
    spec.forwards,
    {
      ...tracker,
      clock,
      random,
      sockets: { family: familyOf(spec), replace: spec.streamLocalBindUnlink, mask: spec.streamLocalBindMask },
      access: lease,
      onVisitor: visitors.acceptLocal,
      // Who connects to a listener of this device's kernel comes here and nowhere else.
      onUp: (index) => tracker.onUp(index, 'this device', { unverified: null, misplaced: false }),
    },
    signal,
  );
}

function keepRemotely(
  share: Pick<Share, 'connection' | 'notYetEvicted'>,
  spec: TunnelSpec,
  tracker: ForwardTracker,
  deps: ServingDeps,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random, log, memory, verifier, access: lease, store } = deps;
  const { connection } = share;
  const evictOnce = once(() => startEviction(share, spec, deps, signal));
  return keepForwards(
    connection,
    spec.forwards,
    {
      ...tracker,
      clock,
      random,
      log,
      wasUp: memory.connected || store.state().lastUp !== null,
      verify: spec.verify,
      tunnel: spec.name,
      holdings: memory.holdings,
      onTaken: deps.device.onTaken,
      verifier,
      access: lease,
      // When a connection that was silent has shown life.
      onRecheck: (listener) =>
        store.subscribe((now, before) => {
          if (before.silentSince !== null && now.silentSince === null) listener();
        }),
      onGranted: (index, port, rttMs) => {
        const { listen } = spec.forwards[index]!;
        const chosen = listen.type === 'tcp' && listen.port === 0 ? port : null;
        store.dispatch({ type: 'forward', index, change: { boundPort: chosen } });
        store.dispatch({ type: 'watched', change: { rttMs: Math.round(rttMs * 10) / 10 } });
        if (chosen !== null) log.info(`the server chose port ${chosen} for ${formatEndpoint(listen)}`);
      },
      onUp: (index, seen) => tracker.onUp(index, 'the server', seen),
      onExposed: (index) => {
        const { spec: forward } = deps.store.state().forwards[index]!;
        log.warn(`${formatEndpoint(forward.listen)}: ${EXPOSED}`);
        store.dispatch({ type: 'forward', index, change: { exposed: true } });
      },
      onEvicted: (seconds) => {
        // A proxyCommand's connections come from ports that we do not know.
        if (connection.transport.addresses === null) return;
        memory.ports?.evicted({ day: new Date(clock.wall()).toISOString().slice(0, 10), seconds });
      },
      onRefused: (index, { refusal, failure, elsewhere }) => {
        tracker.onRefused(index, refusal, failure, elsewhere);
        evictOnce();
      },
    },
    signal,
  );
}

/** Ends dead connections of ours, which may hold a listener that was refused. */
function startEviction(
  share: Pick<Share, 'connection' | 'notYetEvicted'>,
  spec: TunnelSpec,
  deps: ServingDeps,
  signal: AbortSignal,
): void {
  const { addresses } = share.connection.transport;
  if (addresses === null) return;
  // Those of the tunnels that it carries may be the same.
  const earlierPorts = (current: number) => share.notYetEvicted(deps.memory.ports?.earlier(current) ?? []);
  void evict(addresses, earlierPorts, { clock: deps.clock, turns: deps.device.turns, spec }, signal);
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}

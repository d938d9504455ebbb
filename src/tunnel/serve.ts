import type { Emitter } from '../lib/async/emitter.ts';
import { evict } from '../forwarding/listeners/evict-stale.ts';
import type { TunnelFailure } from '../model/failure.ts';
import { keepRemoteListeners } from '../forwarding/listeners/remote-listeners.ts';
import type { Verifier } from '../forwarding/verify/listener-verifier.ts';
import type { Up } from '../forwarding/verify/judge.ts';
import { keepLocalListeners } from '../forwarding/listeners/local-listeners.ts';
import type { Visitors } from '../forwarding/visitors/visitors.ts';
import { familyOf } from '../net/address-family.ts';
import { untilOneFails } from '../lib/async/scope.ts';
import type { SessionTunnel } from './tunnel-deps.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import type { Share } from '../connection/shared/shared-connection.ts';
import { EXPOSED, type ForwardState, type Refusal } from '../model/state.ts';
import { watchTargets } from '../forwarding/listeners/target-monitor.ts';

/** A session from the login on. */
export interface Serving {
  readonly tunnel: SessionTunnel;
  readonly share: Pick<Share, 'connection' | 'certificate' | 'notYetEvicted'>;
  readonly verifier: Verifier;
  readonly visitors: Visitors;
  /** A target has refused a visitor. */
  readonly targetFailed: Emitter;
}

/** Keeps the listeners on both sides open, and reports whether the tunnel is up. Never resolves. */
export function keepServing(serving: Serving, signal: AbortSignal): Promise<never> {
  const tracker = trackForwards(serving.tunnel);
  return untilOneFails(signal, [
    (own) => keepLocally(serving, tracker, own),
    (own) => keepRemotely(serving, tracker, own),
    (own) => keepTargetsChecked(serving, own),
  ]);
}

type ForwardTracker = ReturnType<typeof trackForwards>;

/** Reports the state of each forward, and from that whether the tunnel is up. */
function trackForwards({ spec, deps }: SessionTunnel) {
  const missing = new Set(spec.forwards.keys());
  const unanswered = new Set(missing);
  const report = (index: number, change: Partial<ForwardState>) =>
    deps.store.dispatch({ type: 'forward', index, change });
  const updatePhase = () => {
    const some = missing.size < spec.forwards.length && !spec.exitOnForwardFailure;
    const isUp = unanswered.size === 0 && (missing.size === 0 || some);
    const { phase } = deps.store.state();
    if (isUp && phase !== 'up') deps.store.dispatch({ type: 'up' });
    if (!isUp && phase === 'up') deps.store.dispatch({ type: 'incomplete' });
  };
  const onMissing = (index: number, change: Partial<ForwardState>) => {
    report(index, { ...change, unverified: null, misplaced: false, exposed: false });
    missing.add(index);
  };
  // Without forwards it is up by the login.
  updatePhase();
  return {
    onUp: (index: number, whose: string, { unverified, misplaced }: Pick<Up, 'unverified' | 'misplaced'>): void => {
      const before = deps.store.state().forwards[index];
      const verified = unverified === null ? 'yes' : 'unknown';
      if (before?.state === 'refused') deps.log.info(`${whose} listens on ${formatEndpoint(before.spec.listen)} now`);
      const change = { state: 'up', refusal: null, verified, unverified, misplaced } as const;
      if (before?.state !== 'up' || before.verified !== verified || before.unverified !== unverified)
        report(index, change);
      missing.delete(index);
      updatePhase();
    },
    onRefused: (index: number, refusal: Refusal, failure: TunnelFailure, elsewhere = false): void => {
      const before = deps.store.state().forwards[index]?.verified;
      const verified = elsewhere || before === 'no' ? 'no' : 'unknown';
      onMissing(index, { state: 'refused', refusal, verified });
      deps.store.dispatch({ type: 'failed', failure });
      updatePhase();
    },
    onSuspended: (index: number): void => {
      onMissing(index, { state: 'pending', verified: 'unknown' });
      updatePhase();
    },
    /** The listener had an answer: until all have had one, the tunnel is not up. */
    onAnswered: (index: number): void => {
      unanswered.delete(index);
      updatePhase();
    },
  };
}

function keepLocally({ tunnel, visitors }: Serving, tracker: ForwardTracker, signal: AbortSignal): Promise<never> {
  const { spec, deps } = tunnel;
  const { clock, random, listeners } = deps;
  return keepLocalListeners(
    spec.forwards,
    {
      ...tracker,
      clock,
      random,
      sockets: { family: familyOf(spec), replace: spec.streamLocalBindUnlink, mask: spec.streamLocalBindMask },
      access: listeners,
      onVisitor: visitors.acceptLocal,
      // A connection to a listener of this device needs no verification.
      onUp: (index) => tracker.onUp(index, 'this device', { unverified: null, misplaced: false }),
    },
    signal,
  );
}

function keepRemotely(serving: Serving, tracker: ForwardTracker, signal: AbortSignal): Promise<never> {
  const { share, tunnel, verifier } = serving;
  const { spec, deps, memory } = tunnel;
  const { clock, random, log, listeners, store } = deps;
  const { connection } = share;
  let isEvicting = false;
  return keepRemoteListeners(
    connection,
    spec.forwards,
    {
      ...tracker,
      clock,
      random,
      log,
      certificate: share.certificate,
      wasUp: memory.connected || store.state().lastUp !== null,
      verify: spec.verify,
      tunnel: spec.name,
      owners: memory.owners,
      onTaken: deps.device.onTaken,
      verifier,
      access: listeners,
      // A silent connection was heard again.
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
        // The local ports of a proxyCommand are unknown.
        if (connection.transport.addresses === null) return;
        memory.ports?.evicted({ day: new Date(clock.wall()).toISOString().slice(0, 10), seconds });
      },
      onRefused: (index, { refusal, failure, elsewhere }) => {
        tracker.onRefused(index, refusal, failure, elsewhere);
        if (!isEvicting) startEviction(serving, signal);
        isEvicting = true;
      },
    },
    signal,
  );
}

/** Connects to the target of each remote forward from time to time. */
function keepTargetsChecked({ tunnel, visitors, targetFailed }: Serving, signal: AbortSignal): Promise<never> {
  const { spec, deps } = tunnel;
  const { clock, random, store } = deps;
  return watchTargets(
    { ...spec, forwards: spec.verify === 'off' ? [] : spec.forwards },
    {
      clock,
      random,
      isFailing: (index) => store.state().forwards[index]?.targetFailure != null,
      onFailing: targetFailed.subscribe,
      onTarget: visitors.reportTarget,
    },
    signal,
  );
}

/** Evicts dead connections of ours, which may hold a listener that was refused. */
function startEviction({ share, tunnel }: Serving, signal: AbortSignal): void {
  const { spec, deps, memory } = tunnel;
  const { addresses } = share.connection.transport;
  if (addresses === null) return;
  // The tunnels that share the connection may have ports in common.
  const earlierPorts = (current: number) => share.notYetEvicted(memory.ports?.earlier(current) ?? []);
  void evict(addresses, earlierPorts, spec, deps.device.turns, deps.clock, signal);
}

import pRetry from 'p-retry';
import { childController } from '../lib/abort.ts';
import { sleep } from '../lib/clock.ts';
import { blockedDelay, cheapDelay, loginBackoff, loginDelay, reconnectDelay } from './backoff.ts';
import { createFailureLog } from './failure-log.ts';
import { asFailure, type FailureCode, TunnelFailure } from './failure.ts';
import { watchLocalNeeds } from './local-needs.ts';
import { createIdleEnds } from './idle-ends.ts';
import { reachServer } from './reach.ts';
import { remember } from './remembered.ts';
import { firstMachine } from './route.ts';
import { runSession, type SessionDeps } from './session.ts';
import type { TunnelSpec } from './spec.ts';
import { formatListen, formatServer, NOT_ASKED, reportFailure, type ForwardState, type TunnelState } from './state.ts';

export interface TunnelDeps extends Pick<
  SessionDeps,
  'clock' | 'random' | 'log' | 'identities' | 'device' | 'lease' | 'beforeListening' | 'heartbeat'
> {
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** Where the loop keeps what is known of it. */
  state(): TunnelState;
  setState(next: TunnelState): void;
  /** Registers what "try now" means at this moment: it ends the current wait, and says whether there was one. */
  onRetryNow(retryNow: () => boolean): void;
}

/**
 * Keeps one tunnel up until the signal: one session after the other, for ever. Decides *when* to try; runSession() is what is tried.
 * A round is a run of failures with p-retry's growing waits between them; a session that lasted, a request to retry now, or a
 * failure that only a person can cure ends the round and the next one starts afresh. In each round the first loss of a session
 * that was logged in is followed by an attempt at once; cheap failures keep a pace of their own, during which the phase stays
 * `waiting` until the server answers. A change of the network ends a wait. Resolves when the signal is aborted.
 */
export async function runTunnel(spec: TunnelSpec, deps: TunnelDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, log, device } = deps;
  const { holdings, ports, connected } = remember(spec, device);
  const reporter = createReporter(spec, deps);
  const failures = createFailureLog(log, clock);
  const idleEnds = createIdleEnds();
  let downSince = clock.now();
  /** How long the last session was logged in, or null when it never came that far. */
  let heldForMs: number | null = null;
  /** Whether the last failure is retried at a pace of its own, not at the growing one of logins. */
  let ownPace = false;
  let triedAt = clock.now();
  let tryNow = () => {};
  const needs = watchLocalNeeds(spec, clock);
  const unsubscribe = device.onChange(() => {
    if (mayTryAgain()) tryNow();
  });
  deps.onRetryNow(() => {
    const { phase } = deps.state();
    const waits = phase === 'waiting' || phase === 'blocked' || phase === 'waiting-for-network';
    if (waits) tryNow();
    return waits;
  });

  while (!signal.aborted) {
    const round = childController(signal);
    tryNow = () => round.abort(RETRY_NOW);
    ownPace = false;
    const backoff = loginBackoff(spec.reconnect, random);
    let mayBeQuick = true;
    try {
      await pRetry(() => attempt(round.signal), {
        ...backoff,
        factor: 2,
        retries: Number.POSITIVE_INFINITY,
        signal: round.signal,
        onFailedAttempt: async ({ error, retriesConsumed }) => {
          round.signal.throwIfAborted();
          const failure = asFailure(error);
          const quick = mayBeQuick && heldForMs !== null;
          if (endsRound(failure)) return;
          ownPace = quick || isCheap(failure);
          if (quick) mayBeQuick = false;
          const delay = quick
            ? reconnectDelay(random)
            : ownPace
              ? cheapDelay(clock.now() - downSince, spec.reconnect.minMs, random)
              : loginDelay(backoff, retriesConsumed);
          scheduled('waiting', failure, delay);
          if (ownPace) await sleep(clock, delay, round.signal);
        },
        shouldRetry: ({ error }) => !endsRound(asFailure(error)),
        // Only a wait that p-retry makes lengthens the next one.
        shouldConsumeRetry: () => !ownPace,
      });
    } catch (error) {
      if (!round.signal.aborted) {
        const failure = asFailure(error);
        const blocked = failure.kind === 'needs-human';
        const delay = blocked ? blockedDelay(failure.code, spec.reconnect, random) : reconnectDelay(random);
        scheduled(blocked ? 'blocked' : 'waiting', failure, delay);
        await sleep(clock, delay, round.signal).catch(() => {});
      }
    } finally {
      round.dispose();
    }
  }
  unsubscribe();
  needs.stop();
  reporter.report({ phase: 'stopped', retryAt: null, sourcePort: null });

  /** What was wrong may be different in another network. A link that comes and goes must not make us hammer the server. */
  function mayTryAgain(): boolean {
    const { phase, failure } = deps.state();
    if (phase !== 'waiting' && phase !== 'blocked') return phase === 'waiting-for-network';
    return ownPace || (failure?.code !== 'auth-rejected' && clock.now() - triedAt > SELDOM_MS);
  }

  function endsRound(failure: TunnelFailure): boolean {
    return failure.kind === 'needs-human' || (heldForMs ?? 0) >= LASTED_MS;
  }

  /** One attempt and, where it succeeds, the session it brought. p-retry takes a TypeError for fatal: all is made a TunnelFailure. */
  async function attempt(roundSignal: AbortSignal): Promise<never> {
    const knocking = ownPace && deps.state().phase === 'waiting';
    reporter.report({
      attempts: deps.state().attempts + 1,
      ...(knocking ? {} : { phase: 'connecting', retryAt: null }),
    });
    deps.heartbeat(60_000);
    triedAt = clock.now();
    heldForMs = null;
    let loggedInAt: number | null = null;
    try {
      await needs.look();
      return await runSession(
        spec,
        {
          ...deps,
          // The wait for the network ends with the round ("retry now"); a connection, once there, outlives it.
          reach: async () => {
            const reached = await reachServer(firstMachine(spec), { ...deps, ports, ...networkReports() }, roundSignal);
            reporter.report({ phase: 'connecting', retryAt: null });
            return reached;
          },
          holdings,
          wasUp: () => connected || deps.state().lastUp !== null,
          explainEnd: idleEnds.explain,
          earlierPorts: (current) => ports?.earlier(current) ?? [],
          onEvicted: (seconds) => ports?.evicted({ day: new Date(clock.wall()).toISOString().slice(0, 10), seconds }),
          report: (change) => {
            if (change.phase === 'forwarding') loggedInAt = clock.now();
            if (change.phase === 'up') failures.recovered();
            reporter.report(change);
          },
          reportForward: reporter.reportForward,
          reportFailure: (failure) => {
            failures.log(failure);
            reporter.report({ failure: reportFailure(failure, clock.now()) });
          },
        },
        signal,
      );
    } catch (error) {
      roundSignal.throwIfAborted();
      if (loggedInAt !== null) {
        heldForMs = clock.now() - loggedInAt;
        downSince = clock.now();
      }
      throw asFailure(error);
    } finally {
      reporter.sessionOver();
    }
  }

  function networkReports() {
    return {
      onNetworkDown: (failure: TunnelFailure) => {
        failures.log(failure);
        reporter.report({ phase: 'waiting-for-network', failure: reportFailure(failure, clock.now()) });
      },
    };
  }

  function scheduled(phase: 'waiting' | 'blocked', failure: TunnelFailure, delayMs: number): void {
    failures.log(failure, delayMs);
    needs.whenChanged(failure.code, tryNow);
    deps.heartbeat(delayMs + 30_000);
    reporter.report({
      phase,
      retryAt: clock.now() + delayMs,
      failure: reportFailure(failure, clock.now()),
    });
  }
}

/** A session that was logged in this long was a success: what ends it starts a new count. */
const LASTED_MS = 10_000;

const RETRY_NOW = new Error('retry now');

/** After a failed login, and while a person must act, a new network is reason for an attempt only this often. */
const SELDOM_MS = 10_000;

/** What ends before a login costs the server anything. */
const CHEAP: readonly FailureCode[] = [
  'network-down',
  'dns-failed',
  'connect-refused',
  'connect-timeout',
  'unreachable',
];

/** Also where a proxy could not be reached. */
function isCheap({ code, cause }: TunnelFailure): boolean {
  return (
    CHEAP.includes(code) || (code === 'proxy-failed' && cause instanceof TunnelFailure && CHEAP.includes(cause.code))
  );
}

interface Reporter {
  report(change: Partial<TunnelState>): void;
  reportForward(index: number, change: Partial<ForwardState>): void;
  sessionOver(): void;
}

/** The one place where a tunnel's state changes: keeps `since` and `lastUp` true and logs that a tunnel came up. */
function createReporter(spec: TunnelSpec, { clock, log, state, setState }: TunnelDeps): Reporter {
  const report = (change: Partial<TunnelState>) => {
    const before = state();
    const phaseChanged = change.phase !== undefined && change.phase !== before.phase;
    const wasUp = before.phase === 'up';
    const now = clock.now();
    setState({
      ...before,
      ...change,
      ...(phaseChanged ? { since: now } : {}),
      ...(change.phase === 'up' ? { attempts: 0, lastUp: now, retryAt: null } : {}),
      ...(phaseChanged && wasUp ? { lastUp: now } : {}),
    });
    if (phaseChanged && change.phase === 'up') {
      const listeners = state().forwards.filter((forward) => forward.state === 'up');
      log.info({ server: formatServer(spec), listening: listeners.map(formatListen).join(', ') }, 'tunnel is up');
    }
  };
  const reportForward = (index: number, change: Partial<ForwardState>) => {
    const { forwards } = state();
    setState({
      ...state(),
      forwards: forwards.map((forward, i) => (i === index ? { ...forward, ...change } : forward)),
    });
  };
  return {
    report,
    reportForward,
    sessionOver: () => {
      for (const index of spec.forwards.keys()) reportForward(index, NOT_ASKED);
      report({ sourcePort: null, rttMs: null, silentSince: null });
    },
  };
}

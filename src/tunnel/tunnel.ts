import pRetry from 'p-retry';
import { childController } from '../lib/async/abort.ts';
import { sleep } from '../lib/async/clock.ts';
import { ownTurn } from '../lib/async/slices.ts';
import { blockedDelay, cheapDelay, isCheap, loginBackoff, loginDelay, reconnectDelay, standingOf } from './backoff.ts';
import { takeCommandTurn } from '../net/command-turn.ts';
import { nextDialAt } from '../net/dial.ts';
import { createFailureLog } from './failure-log.ts';
import { asFailure, type FailureCode, type TunnelFailure } from '../model/failure.ts';
import { watchLocalNeeds } from './local-needs.ts';
import { createIdleEnds } from '../connection/ssh/idle-ends.ts';
import { reachServer } from './reach-server.ts';
import { remember, type TunnelDevice } from './remembered.ts';
import { createReporter } from './reporter.ts';
import { countShortShares, isLate, keepsToItself, seekShare, type ShareSeeker } from './seek-share.ts';
import { beyondOf, firstMachine } from '../net/first-machine.ts';
import { runSession } from './session.ts';
import { type SessionDeps } from './session-deps.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { reportFailure, type TunnelState } from '../model/state.ts';
import { loginOf } from '../connection/shared/same-login.ts';
import type { Turn } from '../net/pacing/turns.ts';

export interface TunnelDeps extends Pick<
  SessionDeps,
  'clock' | 'random' | 'log' | 'identities' | 'lease' | 'beforeListening' | 'visitorsEnd' | 'heartbeat' | 'connections'
> {
  readonly device: TunnelDevice;
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
  const { holdings, ports, connected, worked } = remember(spec, device);
  const reporter = createReporter(spec, deps);
  const failures = createFailureLog(log, clock, spec.name);
  const idleEnds = createIdleEnds();
  let downSince = clock.now();
  /** How long the last session was logged in, or null when it never came that far. */
  let heldForMs: number | null = null;
  /** Whether the last failure is retried at a pace of its own, not at the growing one of logins. */
  let ownPace = false;
  /** Whether the server dropped the last connection while it let in others of ours. */
  let byChance = false;
  /** Logins that were rejected since the last one that was not. */
  let rejections = 0;
  const login = deps.connections === null ? '' : loginOf(spec);
  /** Where the attempt that is under way finds a connection to share. */
  let seeker: ShareSeeker | null = null;
  let shortShares = 0;
  let lastTurnAt = clock.now();
  let urgent = false;
  const hasWorked = () => worked || deps.state().lastUp !== null;
  const dialDeps = () => ({
    clock,
    turns: device.turns,
    claim: { standing: standingOf(rejections, hasWorked()), urgent, since: lastTurnAt },
    beyond: beyondOf(spec),
  });
  let triedAt = clock.now();
  let tryNow: (reason?: Error) => void = () => {};
  const needs = watchLocalNeeds(spec, clock);
  const unsubscribe = device.onChange(() => {
    if (mayTryAgain()) tryNow();
  });
  const forgetOffers = deps.connections?.onOffer(login, () => {
    if (seeker === null && mayTryAgain()) tryNow(ANOTHER_IS_IN);
  });
  deps.onRetryNow(() => {
    const { phase } = deps.state();
    const waits = phase === 'waiting' || phase === 'blocked' || phase === 'waiting-for-network';
    if (waits) tryNow();
    return waits;
  });

  while (!signal.aborted) {
    const round = childController(signal);
    // A change of the network concerns a thousand tunnels at once.
    tryNow = (reason = RETRY_NOW) => void ownTurn().then(() => round.abort(reason));
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
          ownPace = quick || byChance || isCheap(failure);
          if (quick) mayBeQuick = false;
          const delay =
            quick || byChance || canShareAfter(failure)
              ? reconnectDelay(random)
              : ownPace
                ? Math.max(cheapDelay(clock.now() - downSince, spec.reconnect.minMs, random), untilOurTurn())
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
        const delay = blocked
          ? blockedDelay(failure.code, hasWorked() ? rejections : 0, spec.reconnect, random)
          : reconnectDelay(random);
        scheduled(blocked ? 'blocked' : 'waiting', failure, delay);
        await sleep(clock, delay, round.signal).catch(() => {});
      }
    } finally {
      urgent = round.signal.aborted && round.signal.reason !== ANOTHER_IS_IN;
      round.dispose();
    }
  }
  unsubscribe();
  forgetOffers?.();
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

  /** Whether another connection carries this tunnel at once, where the server, or its firewall, makes it wait for a turn of its own. */
  function canShareAfter({ code }: TunnelFailure): boolean {
    if (!MET_BY_DIALLING.includes(code) || keepsToItself(shortShares)) return false;
    return isLate(clock.now() + untilOurTurn(), clock.now()) && deps.connections?.has(login) === true;
  }

  /** Milliseconds until the server may be dialled again; 0 where that depends on what others meet. */
  function untilOurTurn(): number {
    const at = nextDialAt(firstMachine(spec), dialDeps());
    return Number.isFinite(at) ? Math.max(0, at - clock.now()) : 0;
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
    byChance = false;
    let turn: Turn | null = null;
    const taken = () => turn;
    let loggedInAt: number | null = null;
    let shared = false;
    const connections = keepsToItself(shortShares) ? null : deps.connections;
    const seeking = (seeker = seekShare(login, connections, clock));
    try {
      needs.begin();
      return await runSession(
        spec,
        {
          ...deps,
          connections,
          join: async (member) => {
            const share = await seeking.join(member);
            const { ends } = share.connection.transport;
            shared = true;
            log.info(`the connection of ${share.openedBy} carries this tunnel too: its own turn would come late`);
            // The next connection comes from there, so that the server lets go of this one's listeners if it is dead by then.
            if (ends !== null) {
              ports?.used(ends.localPort);
              reporter.report({ sourcePort: ends.localPort });
            }
            return share;
          },
          onOver: () => taken()?.end(),
          // The wait for the network ends with the round ("retry now"); a connection, once there, outlives it.
          reach: async () => {
            const first = firstMachine(spec);
            const reached = await reachServer(first, { ...deps, ...dialDeps(), ports, ...dialReports() }, roundSignal);
            turn = reached.turn;
            reporter.report({ phase: 'connecting', retryAt: null });
            return reached;
          },
          beforeCommand: async (command) => {
            const begun = await takeCommandTurn(
              command,
              firstMachine(spec),
              { ...deps, ...dialDeps(), ...dialReports() },
              roundSignal,
            );
            turn = begun;
            reporter.report({ phase: 'connecting', retryAt: null });
            return begun;
          },
          holdings,
          wasUp: () => connected || deps.state().lastUp !== null,
          explainEnd: idleEnds.explain,
          earlierPorts: (current) => ports?.earlier(current) ?? [],
          onEvicted: (seconds) => ports?.evicted({ day: new Date(clock.wall()).toISOString().slice(0, 10), seconds }),
          report: (change) => {
            if (change.phase === 'forwarding' && loggedInAt === null) {
              loggedInAt = clock.now();
              rejections = 0;
              turn?.accepted();
            }
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
        shortShares = countShortShares(shortShares, shared, heldForMs);
      }
      const failure = asFailure(error);
      if (failure.code === 'auth-rejected') rejections += 1;
      byChance = taken()?.notAccepted(failure) === true && failure.code === 'handshake-failed';
      throw failure;
    } finally {
      seeking.end();
      seeker = null;
      // From the login on it is over with the connection, which others may share.
      if (loggedInAt === null) taken()?.end();
      reporter.sessionOver();
    }
  }

  function dialReports() {
    return {
      onTurn: () => {
        seeker?.turnAt(null);
        lastTurnAt = clock.now();
        urgent = false;
      },
      onWait: (at: number) => {
        seeker?.turnAt(at);
        const { phase } = deps.state();
        if (!Number.isFinite(at) || (phase !== 'connecting' && phase !== 'waiting')) return;
        reporter.report({ phase: 'waiting', retryAt: at });
      },
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

/** Failures that end with a turn; what fails before one would fail again at once. */
const MET_BY_DIALLING: readonly FailureCode[] = ['connect-refused', 'connect-timeout', 'unreachable'];

const RETRY_NOW = new Error('retry now');
const ANOTHER_IS_IN = new Error('another tunnel with this login is in');

/** After a failed login, and while a person must act, a new network is reason for an attempt only this often. */
const SELDOM_MS = 10_000;

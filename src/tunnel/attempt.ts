import { asFailure } from '../model/failure.ts';
import { certificateText } from '../model/host-certificate.ts';
import { formatListen, formatServer, type TunnelState } from '../model/state.ts';
import { connectTunnel, type Attempt } from './connect.ts';
import { beginAttempt, logIn, type AttemptOutcome } from './next-attempt.ts';
import { rememberUp } from './remembered.ts';
import { seekShare } from './seek-share.ts';
import { runSession } from './session.ts';
import type { TunnelEvent } from './store.ts';
import type { Tunnel } from './tunnel-context.ts';

/**
 * One attempt and, where it succeeds, its session; resolves with how that ended. The wait for the server ends with the round ("retry
 * now"); a connection outlives the round. Rejects with the reason where the round or the tunnel ended.
 */
export async function makeAttempt(
  tunnel: Tunnel,
  round: AbortSignal,
  signal: AbortSignal,
): Promise<Pick<AttemptOutcome, 'failure' | 'heldForMs' | 'joined' | 'byChance'>> {
  const { deps, history, login } = tunnel;
  const { clock, store } = deps;
  // A cheap retry leaves the phase at `waiting` until the server answers.
  store.dispatch({ type: 'attempt', waits: history.ownPace && store.state().phase === 'waiting' });
  deps.heartbeat(60_000);
  tunnel.history = beginAttempt(history, clock.now());
  const seeker = seekShare(login, deps.connections, clock, history);
  tunnel.seeker = seeker;
  const attempt: Attempt = { round, seeker, turn: null, joined: null, loggedInAt: null };
  const forget = store.subscribe((_now, _before, event) => onSessionEvent(tunnel, attempt, event));
  try {
    tunnel.needs.begin();
    return await runSession(tunnel, (onVisitor, own) => connectTunnel(tunnel, attempt, onVisitor, own), signal);
  } catch (error) {
    round.throwIfAborted();
    const failure = asFailure(error);
    const { turn, loggedInAt, joined } = attempt;
    const byChance = turn?.notAccepted(failure) === true && failure.code === 'handshake-failed';
    return { failure, heldForMs: loggedInAt === null ? null : clock.now() - loggedInAt, joined, byChance };
  } finally {
    forget();
    seeker.end();
    tunnel.seeker = null;
    // After the login the turn ends with the connection, which other tunnels may share.
    if (attempt.loggedInAt === null) attempt.turn?.end();
    store.dispatch({ type: 'session-over' });
  }
}

function onSessionEvent(tunnel: Tunnel, attempt: Attempt, event: TunnelEvent): void {
  const { spec, deps, memory, failures } = tunnel;
  if (event.type === 'logged-in') {
    attempt.loggedInAt = deps.clock.now();
    attempt.turn?.accepted();
    tunnel.history = logIn(tunnel.history);
  }
  if (event.type === 'failed') failures.log(event.failure);
  if (event.type !== 'up') return;
  failures.recovered();
  rememberUp(spec, memory);
  const { forwards, algorithms } = deps.store.state();
  const listeners = forwards.filter(({ state }) => state === 'up');
  const listening = listeners.map(formatListen).join(', ');
  const agreed = algorithms === null ? {} : agreedOf(algorithms);
  deps.log.info({ server: formatServer(spec), listening, ...agreed }, 'tunnel is up');
}

function agreedOf({ keyExchange, hostKey, hostCertificate }: NonNullable<TunnelState['algorithms']>): object {
  const certificate = hostCertificate === null ? {} : { hostCertificate: certificateText(hostCertificate) };
  return { keyExchange, hostKeyAlgorithm: hostKey, ...certificate };
}

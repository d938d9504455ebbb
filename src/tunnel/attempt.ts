import { childController } from '../lib/async/abort.ts';
import { takeCommandTurn } from '../net/command-turn.ts';
import type { DialDeps } from '../net/dial.ts';
import { createVisitLog, type VisitLog } from '../forwarding/visitors/visit-log.ts';
import { createFailureLog, type FailureLog } from './failure-log.ts';
import { asFailure, type TunnelFailure } from '../model/failure.ts';
import { watchLocalNeeds, type LocalNeeds } from './local-needs.ts';
import { createIdleEnds, type IdleEnds } from '../connection/ssh/idle-ends.ts';
import { reachServer, type ReachDeps } from './reach-server.ts';
import { remember, rememberUp, type Remembered } from './remembered.ts';
import { mustNotShare, seekShare, type ShareSeeker } from './seek-share.ts';
import { serverBehindProxy, firstHop } from '../net/first-hop.ts';
import {
  beginAttempt,
  turnRequest,
  logIn,
  startHistory,
  takeTurn,
  type History,
  type AttemptOutcome,
} from './next-attempt.ts';
import { runSession } from './session.ts';
import type { SessionDeps, TunnelDeps } from './session-deps.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatListen, formatServer } from '../model/state.ts';
import type { TunnelEvent } from './store.ts';
import { loginOf } from '../connection/shared/same-login.ts';
import type { Member, Share } from '../connection/shared/shared-connection.ts';
import type { Turn } from '../net/pacing/turns.ts';

/** What a tunnel keeps from one attempt to the next. */
export interface Tunnel {
  readonly spec: TunnelSpec;
  readonly deps: TunnelDeps;
  readonly memory: Remembered;
  readonly failures: FailureLog;
  readonly visitLog: VisitLog;
  readonly needs: LocalNeeds;
  readonly idleEnds: IdleEnds;
  /** Tunnels with the same login may share a connection; '' where this one must not. */
  readonly login: string;
  history: History;
  /** How the present attempt finds a connection to share. */
  seeker: ShareSeeker | null;
}

export function createTunnel(spec: TunnelSpec, deps: TunnelDeps): Tunnel {
  const { clock, random, log, device } = deps;
  return {
    spec,
    deps,
    memory: remember(spec, device),
    failures: createFailureLog(log, clock, spec.name),
    visitLog: createVisitLog(log, clock),
    needs: watchLocalNeeds(spec, clock),
    idleEnds: createIdleEnds(),
    login: deps.connections === null ? '' : loginOf(spec),
    history: startHistory(spec.reconnect, clock.now(), random),
    seeker: null,
  };
}

/** Whether this tunnel was ever up. */
export function hasWorked({ memory, deps }: Tunnel): boolean {
  return memory.worked || deps.store.state().lastUp !== null;
}

/** How the server is dialled: the request for a turn, and the way to it. */
export function dialDeps(
  tunnel: Tunnel,
): Pick<DialDeps, 'clock' | 'turns' | 'behindProxy'> & Pick<ReachDeps, 'request'> {
  const { spec, deps, history } = tunnel;
  const request = turnRequest(history, hasWorked(tunnel));
  return { clock: deps.clock, turns: deps.device.turns, request, behindProxy: serverBehindProxy(spec) };
}

/** The present attempt. */
interface Progress {
  turn: Turn | null;
  loggedInAt: number | null;
  /** Whether another tunnel's connection carries it. */
  shared: boolean;
}

/**
 * One attempt and, where it succeeds, its session; resolves with how that ended. The wait for the server ends with the round ("retry
 * now"); a connection outlives the round. Rejects with the reason where the round or the tunnel ended.
 */
export async function makeAttempt(
  tunnel: Tunnel,
  round: AbortSignal,
  signal: AbortSignal,
): Promise<Pick<AttemptOutcome, 'failure' | 'heldForMs' | 'shared' | 'byChance'>> {
  const { spec, deps, history, login } = tunnel;
  const { clock, store } = deps;
  // A cheap retry leaves the phase at `waiting` until the server answers.
  store.dispatch({ type: 'attempt', waits: history.ownPace && store.state().phase === 'waiting' });
  deps.heartbeat(60_000);
  tunnel.history = beginAttempt(history, clock.now());
  const connections = mustNotShare(history.shortShares) ? null : deps.connections;
  const seeker = (tunnel.seeker = seekShare(login, connections, clock));
  const progress: Progress = { turn: null, loggedInAt: null, shared: false };
  try {
    tunnel.needs.begin();
    const join = (member: Member) => joinAnother(tunnel, seeker, progress, member);
    return await runSession(spec, { ...sessionDeps(tunnel, progress, round), connections, join }, signal);
  } catch (error) {
    round.throwIfAborted();
    const failure = asFailure(error);
    const { turn, loggedInAt, shared } = progress;
    const byChance = turn?.notAccepted(failure) === true && failure.code === 'handshake-failed';
    return { failure, heldForMs: loggedInAt === null ? null : clock.now() - loggedInAt, shared, byChance };
  } finally {
    seeker.end();
    tunnel.seeker = null;
    // After the login the turn ends with the connection, which other tunnels may share.
    if (progress.loggedInAt === null) progress.turn?.end();
    store.dispatch({ type: 'session-over' });
  }
}

async function joinAnother(
  { deps, memory }: Tunnel,
  seeker: ShareSeeker,
  progress: Progress,
  member: Member,
): Promise<Share> {
  const share = await seeker.join(member);
  const { addresses } = share.connection.transport;
  progress.shared = true;
  deps.log.info(`the connection of ${share.openedBy} carries this tunnel too: its own turn would be late`);
  // The next connection comes from this port, which evicts this one if it is dead by then.
  if (addresses !== null) {
    memory.ports?.used(addresses.localPort);
    deps.store.dispatch({ type: 'source-port', port: addresses.localPort });
  }
  return share;
}

function sessionDeps(
  tunnel: Tunnel,
  progress: Progress,
  round: AbortSignal,
): Omit<SessionDeps, 'connections' | 'join'> {
  const { spec, deps, memory } = tunnel;
  const { store } = deps;
  const begin = (turn: Turn) => {
    progress.turn = turn;
    store.dispatch({ type: 'reached' });
  };
  // It ends with the round, and where another connection carries the tunnel.
  const inRound = async <T>(way: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const both = childController(round, way);
    return await work(both.signal).finally(both.dispose);
  };
  const wayDeps = () => ({ ...deps, ...dialDeps(tunnel), ...dialReports(tunnel) });
  return {
    ...deps,
    onOver: () => progress.turn?.end(),
    reach: async (way) => {
      const reachDeps = { ...wayDeps(), ports: memory.ports };
      const reached = await inRound(way, (signal) => reachServer(firstHop(spec), reachDeps, signal));
      begin(reached.turn);
      return reached;
    },
    beforeCommand: async (command, way) => {
      const turn = await inRound(way, (signal) => takeCommandTurn(command, firstHop(spec), wayDeps(), signal));
      begin(turn);
      return turn;
    },
    visitLog: tunnel.visitLog,
    memory,
    explainEnd: tunnel.idleEnds.explain,
    store: { ...store, dispatch: (event) => follow(tunnel, progress, event) },
  };
}

/** What else follows from what happens to a session. */
function follow(tunnel: Tunnel, progress: Progress, event: TunnelEvent): void {
  const { spec, failures } = tunnel;
  const { clock, log, store } = tunnel.deps;
  if (event.type === 'logged-in') {
    progress.loggedInAt = clock.now();
    tunnel.history = logIn(tunnel.history);
    progress.turn?.accepted();
  }
  if (event.type === 'failed') failures.log(event.failure);
  if (event.type === 'up') failures.recovered();
  store.dispatch(event);
  if (event.type !== 'up') return;
  rememberUp(spec, tunnel.memory);
  const listeners = store.state().forwards.filter(({ state }) => state === 'up');
  log.info({ server: formatServer(spec), listening: listeners.map(formatListen).join(', ') }, 'tunnel is up');
}

function dialReports(tunnel: Tunnel) {
  const { failures } = tunnel;
  const { clock, store } = tunnel.deps;
  return {
    onTurn: () => {
      tunnel.seeker?.turnAt(null);
      tunnel.history = takeTurn(tunnel.history, clock.now());
    },
    onWait: (at: number) => {
      tunnel.seeker?.turnAt(at);
      if (Number.isFinite(at)) store.dispatch({ type: 'queued', until: at });
    },
    onNetworkDown: (failure: TunnelFailure) => {
      failures.log(failure);
      store.dispatch({ type: 'no-network', failure });
    },
  };
}

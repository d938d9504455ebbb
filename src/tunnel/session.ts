import { setMaxListeners } from 'node:events';
import { abortable, childController } from '../lib/async/abort.ts';
import { createEmitter } from '../lib/async/emitter.ts';
import { waitAtMost } from '../lib/async/wait-at-most.ts';
import { TunnelFailure } from '../model/failure.ts';
import { keepServing } from './serve.ts';
import { createVisitors, type Visitors } from '../forwarding/visitors/visitors.ts';
import { prepareConnection } from '../connection/shared/open-connection.ts';
import type { Member, Share } from '../connection/shared/shared-connection.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { Visitor } from '../connection/ssh/connection.ts';
import type { ForwardState } from '../model/state.ts';
import type { SessionDeps } from './session-deps.ts';
import { createTunnelVerifier } from '../forwarding/verify/tunnel-verifier.ts';

/**
 * One connection, or a share of one, from the first packet to its death: connects, authenticates, asks for the forwards, serves visitors
 * and watches that the server lives. Never resolves: it rejects with the TunnelFailure that ended it, or with the signal's reason.
 */
export async function runSession(spec: TunnelSpec, deps: SessionDeps, signal: AbortSignal): Promise<never> {
  const { store } = deps;
  const session: Session = {
    over: childController(signal),
    visitorsOver: childController(deps.visitorsEnd),
    receive: (visitor) => visitor.reject(),
    share: null,
    visitors: null,
  };
  // Each visitor listens to it; Node warns of more than ten.
  setMaxListeners(0, session.over.signal, session.visitorsOver.signal);
  try {
    // To decrypt keys may take a minute each.
    deps.heartbeat(PREPARATION_MS);
    const connect = await prepareConnection(spec, {
      ...deps,
      onSourcePort: (port) => store.dispatch({ type: 'source-port', port }),
      onAuthenticating: () => store.dispatch({ type: 'authenticating' }),
    });
    const member = memberOf(spec, session, deps);
    const share = await connectOrJoin(
      (within) => connect(member, within),
      () => deps.join(member),
      signal,
    );
    session.share = share;
    return await serve(share, spec, session, deps, signal);
  } catch (error) {
    const { share } = session;
    if (share === null || !(error instanceof TunnelFailure)) throw error;
    // A server that does not answer one tunnel answers none: its answers come in the order of the questions.
    if (error.code === 'keepalive-lost') share.fail(error);
    throw deps.explainEnd(error, share.connection.idleMs());
  } finally {
    await end(session, deps, signal);
  }
}

interface Session {
  /** Ends what the session does. */
  readonly over: ReturnType<typeof childController>;
  /** Ends those who are being served. */
  readonly visitorsOver: ReturnType<typeof childController>;
  receive(visitor: Visitor): void;
  share: Share | null;
  visitors: Visitors | null;
}

/** The tunnel, as its connection knows it. */
function memberOf({ name }: TunnelSpec, session: Session, deps: SessionDeps): Member {
  const { store } = deps;
  return {
    name,
    heartbeat: deps.heartbeat,
    state: store.state,
    report: (change) => store.dispatch({ type: 'watched', change }),
    onVisitor: (visitor) => {
      // It is called in the midst of ssh2's parser.
      try {
        session.receive(visitor);
      } catch (error) {
        deps.log.error({ code: 'internal', error }, 'a bug turned a visitor away');
        visitor.reject();
      }
    },
  };
}

/** From the login on. */
async function serve(
  share: Share,
  spec: TunnelSpec,
  session: Session,
  deps: SessionDeps,
  signal: AbortSignal,
): Promise<never> {
  const { store } = deps;
  const { connection, openedBy, login } = share;
  const { over, visitorsOver } = session;
  const targetFailed = createEmitter();
  const verifier = createTunnelVerifier(spec, connection, deps, over.signal);
  const reportForward = (index: number, change: Partial<ForwardState>) =>
    store.dispatch({ type: 'forward', index, change });
  const visitors = createVisitors(
    spec,
    connection,
    { ...deps, state: store.state, reportForward, onTargetFailed: targetFailed.emit },
    visitorsOver.signal,
  );
  session.visitors = visitors;
  session.receive = (visitor) => verifier.intercept(visitor, visitors);
  store.dispatch({ type: 'logged-in', login, carrier: openedBy === spec.name ? null : openedBy });
  await Promise.race([connection.lost, abortable(deps.beforeListening(), signal)]);
  signal.throwIfAborted();
  return await Promise.race([
    connection.lost,
    keepServing(share, spec, { ...deps, verifier, visitors, targetFailed }, over.signal),
  ]);
}

/** A session that is ended from outside serves to the end those who are there. */
async function end(
  { over, visitorsOver, share, visitors }: Session,
  { clock, visitorsEnd }: SessionDeps,
  signal: AbortSignal,
): Promise<void> {
  const served = () => visitors?.ended() ?? Promise.resolve();
  if (share !== null && signal.aborted) {
    await share.cancelListeners();
    await abortable(Promise.race([served(), share.connection.lost]), visitorsEnd).catch(() => {});
  }
  await share?.leave(signal.aborted);
  for (const controller of [over, visitorsOver]) {
    controller.abort(new TunnelFailure('disconnected', 'the session is over'));
    controller.dispose();
  }
  await Promise.all([waitAtMost(served(), VISITORS_END_MS, clock), share?.gone() ?? Promise.resolve()]);
  visitors?.force();
}

/** A connection of the tunnel's own, or a share of another's, whichever comes first; the wait for the other one ends. */
async function connectOrJoin(
  connect: (signal: AbortSignal) => Promise<Share>,
  join: () => Promise<Share>,
  signal: AbortSignal,
): Promise<Share> {
  const own = childController(signal);
  const ways = [connect(own.signal), join()];
  let chosen: Share | null = null;
  const leaveLate = (late: Share) => {
    if (late !== chosen) void late.leave(false);
  };
  try {
    chosen = await Promise.race(ways);
    return chosen;
  } finally {
    own.abort(new TunnelFailure('disconnected', 'another connection carries the tunnel'));
    own.dispose();
    for (const way of ways) way.then(leaveLate, () => {});
  }
}

/** All of them hear of the end at once; who is not gone by then has run into a bug. */
const VISITORS_END_MS = 1000;

const PREPARATION_MS = 300_000;

import { setMaxListeners } from 'node:events';
import type { Share } from '../connection/shared/shared-connection.ts';
import type { Visitor } from '../connection/ssh/connection.ts';
import { createTunnelVerifier } from '../forwarding/verify/tunnel-verifier.ts';
import { createVisitors, type Visitors } from '../forwarding/visitors/visitors.ts';
import { abortable } from '../lib/async/abort.ts';
import { createEmitter } from '../lib/async/emitter.ts';
import { firstToEnd, waitFor, withScope } from '../lib/async/scope.ts';
import { waitAtMost } from '../lib/async/wait-at-most.ts';
import { TunnelFailure } from '../model/failure.ts';
import { keepServing } from './serve.ts';
import { watchCertificate } from './watch-certificate.ts';
import type { SessionTunnel } from './tunnel-deps.ts';

/** Connects and logs in; `onVisitor` is called for each visitor of the tunnel's listeners. */
export type Connect = (onVisitor: (visitor: Visitor) => void, signal: AbortSignal) => Promise<Share>;

/**
 * One connection, or a share of one, from the first packet to its end: connects, authenticates, requests the listeners, serves visitors.
 * Never resolves: it rejects with the TunnelFailure that ended it, or with the signal's reason. Its end is bounded: visitors stay until
 * `visitorsEnd` after the signal, and have VISITORS_END_MS to end then, or when the connection is lost.
 */
export async function runSession(tunnel: SessionTunnel, connect: Connect, signal: AbortSignal): Promise<never> {
  const { clock, visitorsEnd } = tunnel.deps;
  const session: Session = { share: null, visitors: null };
  try {
    return await withScope(visitorsEnd, (visits) => {
      // Each visitor listens to it; Node warns of more than ten.
      setMaxListeners(0, visits.signal);
      return connectAndServe(session, tunnel, connect, signal, visits.signal);
    });
  } finally {
    const { share, visitors } = session;
    await Promise.all([visitors && waitAtMost(visitors.ended(), VISITORS_END_MS, clock), share?.gone()]);
    visitors?.force();
  }
}

interface Session {
  share: Share | null;
  visitors: Visitors | null;
}

/** `signal` ends the session, but for its visitors. */
async function connectAndServe(
  session: Session,
  tunnel: SessionTunnel,
  connect: Connect,
  signal: AbortSignal,
  visitorsEnd: AbortSignal,
): Promise<never> {
  const { spec, deps, memory } = tunnel;
  const { clock, log, store, device } = deps;
  let onVisitor = (visitor: Visitor): void => visitor.reject();
  const share = await connect((visitor) => onVisitor(visitor), signal);
  session.share = share;
  const { connection, openedBy, login, certificate } = share;
  const targetFailed = createEmitter();
  const visitors = createVisitors(
    spec,
    connection,
    {
      clock,
      log,
      device,
      visitLog: memory.visitLog,
      state: store.state,
      reportForward: (index, change) => store.dispatch({ type: 'forward', index, change }),
      onTargetFailed: targetFailed.emit,
    },
    visitorsEnd,
  );
  session.visitors = visitors;
  try {
    const carrier = openedBy === spec.name ? null : openedBy;
    store.dispatch({ type: 'logged-in', login, certificate, algorithms: connection.algorithms, carrier });
    return await withScope(signal, async (scope) => {
      setMaxListeners(0, scope.signal);
      scope.start(waitFor(connection.lost));
      if (certificate !== null) scope.start((own) => watchCertificate(certificate, deps, own));
      const verifier = createTunnelVerifier(spec, connection, deps, scope.signal);
      onVisitor = (visitor) => verifier.intercept(visitor, visitors);
      await abortable(deps.listeners.ready(), scope.signal);
      return await keepServing({ tunnel, share, verifier, visitors, targetFailed }, scope.signal);
    });
  } catch (error) {
    if (!(error instanceof TunnelFailure)) throw error;
    // A server that does not answer one tunnel answers none: its answers come in the order of the requests.
    if (error.code === 'keepalive-lost') share.fail(error);
    throw memory.explainEnd(error, connection.idleMs());
  } finally {
    if (signal.aborted) await letVisitorsEnd(share, visitors, visitorsEnd);
    await share.leave(signal.aborted);
  }
}

/** A session that is ended from outside takes no new visitors, and serves those that are there. */
async function letVisitorsEnd(share: Share, visitors: Visitors, signal: AbortSignal): Promise<void> {
  await share.cancelListeners();
  try {
    await firstToEnd<void>(signal, [waitFor(visitors.ended()), waitFor(share.connection.lost)]);
  } catch {
    // The connection is lost, or the time of the visitors is over.
  }
}

/** All visitors are aborted at once; a visit that has not ended by then has met a bug. */
const VISITORS_END_MS = 1000;

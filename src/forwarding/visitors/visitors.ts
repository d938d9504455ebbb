import type { Socket } from 'node:net';
import type { Clock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { idleWatches } from './channel-timeout.ts';
import type { Device } from '../../net/device.ts';
import type { TunnelFailure } from '../../model/failure.ts';
import { serveLocalVisitor } from './local-visitor.ts';
import type { VisitorHandler } from '../verify/listener-verifier.ts';
import { resetSocket } from '../../net/streams/reset-socket.ts';
import { type Endpoint, formatEndpoint, sameEndpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { SshConnection, Visitor } from '../../connection/ssh/connection.ts';
import { type Counters, type ForwardState, reportFailure, type TunnelState } from '../../model/state.ts';
import { serveVisitor } from './remote-visitor.ts';
import type { VisitOptions } from './visit.ts';
import type { VisitLog } from './visit-log.ts';
import { createVisits, type Visit, type Visits } from './visits.ts';

export interface VisitorsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly visitLog: VisitLog;
  readonly device: Pick<Device, 'unacknowledged'>;
  state(): TunnelState;
  reportForward(index: number, change: Partial<ForwardState>): void;
  onTargetFailed(): void;
}

/** Serves the visitors of one session. */
export interface Visitors extends VisitorHandler {
  /** A visitor of the listener of this forward on this device. */
  acceptLocal(index: number, socket: Socket): void;
  /** Records whether a target answered. */
  reportTarget(index: number, failure: TunnelFailure | null): void;
  readonly ended: Visits['ended'];
  readonly force: Visits['force'];
}

export function createVisitors(
  spec: TunnelSpec,
  connection: SshConnection,
  deps: VisitorsDeps,
  signal: AbortSignal,
): Visitors {
  const { log, visitLog } = deps;
  const visits = createVisits(log);
  /** Visitors for which room is reserved. */
  let expected = 0;
  const optionsOf = visitOptions(spec, connection, deps);
  const hasRoom = () => visits.count() + expected < MAX_VISITORS;

  function accept(visitor: Visitor, again = true): void {
    const index = findForward(deps.state().forwards, visitor.listen);
    const forward = deps.state().forwards[index];
    if (forward !== undefined && hasRoom()) {
      visits.serve((visit) => serveVisitor(visitor, optionsOf(index, forward, visit), signal), visitor.reject);
    } else if (again && forward === undefined) {
      // The grant of a port that the server chose and its first visitor may arrive in one packet: the grant is known a tick later.
      setImmediate(() => accept(visitor, false));
    } else {
      visitor.reject();
      const why = forward === undefined ? 'this listener was not requested' : 'too many at once';
      reject(visitor.originator, visitor.listen, forward?.counters, why);
    }
  }

  function reject(originator: string, listen: Endpoint, counters: Counters | undefined, why: string): void {
    if (counters !== undefined) counters.refusedConnections += 1;
    visitLog.overflow({ originator }, `visitor rejected at ${formatEndpoint(listen)}: ${why}`);
  }

  return {
    hasRoom,
    // A SOCKS client speaks first.
    speaksLast: (listen) => {
      const { forwards } = deps.state();
      return forwards[findForward(forwards, listen)]?.spec.target.type !== 'socks';
    },
    accept: (visitor) => accept(visitor),
    acceptLater: (visitor, later) => {
      expected += 1;
      later
        .finally(() => (expected -= 1))
        .then((found) => {
          if (found !== null) accept(found);
        })
        .catch((error: unknown) => {
          log.error({ code: 'internal', error }, 'a bug: a visitor was rejected');
          visitor.reject();
        });
    },
    acceptLocal: (index, socket) => {
      const forward = deps.state().forwards[index];
      if (forward !== undefined && hasRoom() && !signal.aborted) {
        visits.serve(
          (visit) => serveLocalVisitor(socket, connection, optionsOf(index, forward, visit), signal),
          () => resetSocket(socket),
        );
        return;
      }
      const { remoteAddress = '' } = socket;
      socket.on('error', () => {});
      resetSocket(socket);
      if (forward !== undefined) reject(remoteAddress, forward.spec.listen, forward.counters, 'too many at once');
    },
    reportTarget: (index, failure) => reportTarget(deps, index, failure),
    ended: visits.ended,
    force: visits.force,
  };
}

function visitOptions(
  { addressFamily, channelTimeout, connectTimeoutMs, permitRemoteOpen }: TunnelSpec,
  { transport }: SshConnection,
  deps: VisitorsDeps,
): (index: number, forward: ForwardState, visit: Visit) => VisitOptions {
  const { clock, log, visitLog } = deps;
  const idleWatch = idleWatches(channelTimeout, clock);
  return (index, { spec, counters, open }, visit) => ({
    forward: spec,
    counters,
    open,
    transport,
    clock,
    log,
    unacknowledged: deps.device.unacknowledged,
    connectTimeoutMs,
    addressFamily,
    onSocket: (socket) => (visit.socket = socket),
    permitRemoteOpen,
    idle: idleWatch(spec),
    visitLog,
    onTarget: (failure) => reportTarget(deps, index, failure),
  });
}

/** A server that opens channels without end must not exhaust descriptors and memory. */
const MAX_VISITORS = 1024;

function reportTarget(deps: VisitorsDeps, index: number, failure: TunnelFailure | null): void {
  const known = deps.state().forwards[index]?.targetFailure ?? null;
  if (failure === null && known === null) return;
  const targetFailure = failure === null ? null : reportFailure(failure, deps.clock.now());
  deps.reportForward(index, { targetFailure });
  if (known === null) deps.onTargetFailed();
}

function findForward(forwards: readonly ForwardState[], listen: Endpoint): number {
  return forwards.findIndex(({ spec, boundPort }) => {
    if (spec.kind !== 'remote') return false;
    const bound = spec.listen.type === 'unix' ? spec.listen : { ...spec.listen, port: boundPort ?? spec.listen.port };
    return sameEndpoint(listen, bound);
  });
}

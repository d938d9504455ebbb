import type { Socket } from 'node:net';
import type { Clock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { idleWatches } from './channel-timeout.ts';
import type { Device } from '../../net/device.ts';
import type { TunnelFailure } from '../../model/failure.ts';
import { serveLocalVisitor } from './local-visitor.ts';
import type { Verifier } from '../verify/listener-verifier.ts';
import { resetSocket } from '../../net/reset-socket.ts';
import { type Endpoint, formatEndpoint, type TunnelSpec } from '../../model/spec.ts';
import type { SshConnection, Visitor } from '../../connection/ssh/connection.ts';
import { type Counters, type ForwardState, reportFailure, type TunnelState } from '../../model/state.ts';
import { turnedAwayLog } from './rejection-log.ts';
import { serveVisitor } from './remote-visitor.ts';
import type { VisitOptions } from './proxied-connection.ts';

export interface ReceptionDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly device: Pick<Device, 'unacknowledged'>;
  state(): TunnelState;
  reportForward(index: number, change: Partial<ForwardState>): void;
  onTargetFailed(): void;
}

/** Takes the visitors of one connection to those who serve them. */
export interface Reception {
  /** One that came to a listener of the server. */
  receive(visitor: Visitor): void;
  /** One that came to the listener of this forward on this device. */
  receiveLocal(index: number, socket: Socket): void;
  /** Takes down whether a target answered. */
  reportTarget(index: number, failure: TunnelFailure | null): void;
  /** Resolves when the last one has gone. Never rejects. */
  ended(): Promise<void>;
  /** Closes the sockets of those who are still there, waits for none, and says so. */
  force(): void;
}

export function createReception(
  spec: TunnelSpec,
  connection: SshConnection,
  verifier: Pick<Verifier, 'claim'>,
  deps: ReceptionDeps,
  signal: AbortSignal,
): Reception {
  const { clock, log } = deps;
  const visits = new Set<Visit>();
  const idleWatch = idleWatches(spec.channelTimeout, clock);
  /** Of whom nobody knows yet whether they are visitors. */
  let examined = 0;
  const overflow = turnedAwayLog(log, clock, 1);
  const turnedAway = turnedAwayLog(log, clock, REFUSALS_A_MINUTE);

  function optionsFor(index: number, forward: ForwardState, visit: Visit): VisitOptions {
    return {
      forward: forward.spec,
      counters: forward.counters,
      transport: connection.transport,
      clock,
      log,
      unacknowledged: deps.device.unacknowledged,
      connectTimeoutMs: spec.connectTimeoutMs,
      onSocket: (socket) => (visit.socket = socket),
      permitRemoteOpen: spec.permitRemoteOpen,
      idle: idleWatch(forward.spec),
      turnedAway,
      onTarget: (failure) => reportTarget(deps, index, failure),
    };
  }

  function serve(work: (visit: Visit) => Promise<void>, giveUp: () => void): void {
    const visit: Visit = { done: Promise.resolve(), socket: null };
    visits.add(visit);
    visit.done = work(visit)
      .catch((error: unknown) => {
        log.error({ code: 'internal', error }, 'a bug ended the connection of a visitor');
        giveUp();
      })
      .catch(() => {})
      .finally(() => visits.delete(visit));
  }

  function hasRoom(): boolean {
    return visits.size + examined < MAX_VISITORS;
  }

  function receive(visitor: Visitor): void {
    const { forwards } = deps.state();
    // Who wants a proxy speaks first.
    const early = forwards[findForward(forwards, visitor.listen)]?.spec.target.type !== 'socks';
    const examination = verifier.claim(visitor, { room: hasRoom(), early });
    if (examination === null) {
      admit(visitor);
      return;
    }
    examined += 1;
    examination
      .finally(() => (examined -= 1))
      .then((found) => {
        if (found !== null) admit(found);
      })
      .catch((error: unknown) => {
        log.error({ code: 'internal', error }, 'a bug turned a visitor away');
        visitor.reject();
      });
  }

  function admit(visitor: Visitor, again = true): void {
    const index = findForward(deps.state().forwards, visitor.listen);
    const forward = deps.state().forwards[index];
    if (forward !== undefined && hasRoom()) {
      serve((visit) => serveVisitor(visitor, optionsFor(index, forward, visit), signal), visitor.reject);
    } else if (again) {
      // The grant of a port that the server chose, and its first visitor, may come in one packet: the grant is known a turn later.
      setImmediate(() => admit(visitor, false));
    } else {
      visitor.reject();
      count(forward?.counters);
      const why = forward === undefined ? 'nobody asked for this listener' : 'too many at once';
      overflow({ originator: visitor.originator }, `visitor turned away at ${formatEndpoint(visitor.listen)}: ${why}`);
    }
  }

  return {
    receive,
    receiveLocal: (index, socket) => {
      const forward = deps.state().forwards[index];
      if (forward !== undefined && hasRoom() && !signal.aborted) {
        serve(
          (visit) => serveLocalVisitor(socket, connection, optionsFor(index, forward, visit), signal),
          () => resetSocket(socket),
        );
        return;
      }
      const { remoteAddress = '' } = socket;
      socket.on('error', () => {});
      resetSocket(socket);
      if (forward === undefined) return;
      count(forward.counters);
      overflow(
        { originator: remoteAddress },
        `visitor turned away at ${formatEndpoint(forward.spec.listen)}: too many at once`,
      );
    },
    reportTarget: (index, failure) => reportTarget(deps, index, failure),
    ended: async () => {
      await Promise.all([...visits].map(({ done }) => done));
    },
    force: () => {
      if (visits.size === 0) return;
      log.error(
        { code: 'internal', connections: visits.size },
        'a bug: connections did not end with their session and are closed by force',
      );
      for (const { socket } of visits) socket?.destroy();
      visits.clear();
    },
  };
}

/** One who is being served. */
interface Visit {
  done: Promise<void>;
  /** The end of it on this device, as soon as there is one. */
  socket: Socket | null;
}

function count(counters: Counters | undefined): void {
  if (counters !== undefined) counters.refusedConnections += 1;
}

/** A server that opens connections without end must not use up our descriptors and memory. */
const MAX_VISITORS = 1024;

/** More than a person reads, less than fills a disk. */
const REFUSALS_A_MINUTE = 20;

function reportTarget(deps: ReceptionDeps, index: number, failure: TunnelFailure | null): void {
  const known = deps.state().forwards[index]?.targetFailure ?? null;
  if (failure === null && known === null) return;
  const targetFailure = failure === null ? null : reportFailure(failure, deps.clock.now());
  deps.reportForward(index, { targetFailure });
  if (known === null) deps.onTargetFailed();
}

function findForward(forwards: readonly ForwardState[], listen: Endpoint): number {
  return forwards.findIndex(({ spec, boundPort }) => {
    if (spec.kind !== 'remote') return false;
    if (spec.listen.type === 'unix') return listen.type === 'unix' && listen.path === spec.listen.path;
    return listen.type === 'tcp' && listen.host === spec.listen.host && listen.port === (boundPort ?? spec.listen.port);
  });
}

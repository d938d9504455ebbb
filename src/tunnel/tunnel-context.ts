import { recogniseIdleEnds } from '../connection/ssh/idle-ends.ts';
import { loginOf } from '../connection/shared/same-login.ts';
import { createVisitLog } from '../forwarding/visitors/visit-log.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { serverBehindProxy } from '../net/first-hop.ts';
import { createFailureLog, type FailureLog } from './failure-log.ts';
import { watchLocalNeeds, type LocalNeeds } from './local-needs.ts';
import { startHistory, takeTurn, turnRequest, type History } from './next-attempt.ts';
import { remember, type TunnelMemory } from './remembered.ts';
import type { ShareSeeker } from './seek-share.ts';
import type { TunnelDeps } from './tunnel-deps.ts';

/** What a tunnel keeps from one attempt to the next. */
export interface Tunnel {
  readonly spec: TunnelSpec;
  readonly deps: TunnelDeps;
  readonly memory: TunnelMemory;
  readonly failures: FailureLog;
  readonly needs: LocalNeeds;
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
    memory: { ...remember(spec, device), visitLog: createVisitLog(log, clock), explainEnd: recogniseIdleEnds() },
    failures: createFailureLog(log, clock, spec.name),
    needs: watchLocalNeeds(spec, clock),
    login: deps.connections === null ? '' : loginOf(spec),
    history: startHistory(spec.reconnect, clock.now(), random),
    seeker: null,
  };
}

/** Whether this tunnel was ever up. */
export function hasWorked({ memory, deps }: Tunnel): boolean {
  return memory.worked || deps.store.state().lastUp !== null;
}

/** How the server is dialled: the request for a turn, the way to it, and what follows from the turn. */
export function dialDeps(tunnel: Tunnel) {
  const { spec, deps, history } = tunnel;
  const { clock, store, heartbeat } = deps;
  return {
    clock,
    turns: deps.device.turns,
    request: turnRequest(history, hasWorked(tunnel)),
    behindProxy: serverBehindProxy(spec),
    heartbeat,
    onTurn: () => {
      tunnel.seeker?.turnAt(null);
      tunnel.history = takeTurn(tunnel.history, clock.now());
    },
    onWait: (at: number) => {
      tunnel.seeker?.turnAt(at);
      if (Number.isFinite(at)) store.dispatch({ type: 'queued', until: at });
    },
  };
}

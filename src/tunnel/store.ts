import type { Clock } from '../lib/async/clock.ts';
import { createEmitter, type Emitter } from '../lib/async/emitter.ts';
import { hintFor, type TunnelFailure } from '../model/failure.ts';
import type { TunnelSpec } from '../model/spec.ts';
import {
  type AgreedAlgorithms,
  initialState,
  NO_SESSION,
  NOT_ASKED,
  reportFailure,
  type FailureReport,
  type ForwardState,
  type Phase,
  type Totals,
  type TunnelState,
} from '../model/state.ts';

/** The events that change a tunnel's state. */
export type TunnelEvent =
  /** An attempt begins; `waits` where the phase stays `waiting` until the server answers. */
  | { readonly type: 'attempt'; readonly waits: boolean }
  /** The server, or the program that connects to it, answers. */
  | { readonly type: 'reached' }
  /** The attempt waits for its turn at the server. */
  | { readonly type: 'queued'; readonly until: number }
  | { readonly type: 'no-network'; readonly failure: TunnelFailure }
  /** The time of the next attempt; without a failure where the first one is delayed. */
  | {
      readonly type: 'scheduled';
      readonly phase: 'waiting' | 'blocked';
      readonly retryAt: number;
      readonly failure: TunnelFailure | null;
    }
  /** A failure that did not end the session. */
  | { readonly type: 'failed'; readonly failure: TunnelFailure }
  | { readonly type: 'stopped' }
  | SessionEvent;

type SessionEvent =
  | { readonly type: 'source-port'; readonly port: number }
  | { readonly type: 'authenticating' }
  | ({ readonly type: 'logged-in' } & Pick<TunnelState, 'login' | 'certificate' | 'carrier'> & {
        readonly algorithms: AgreedAlgorithms;
      })
  /** The tunnel has all its listeners; or not any more. */
  | { readonly type: 'up' | 'incomplete' }
  | {
      readonly type: 'watched';
      readonly change: Partial<Pick<TunnelState, 'rttMs' | 'silentSince' | 'certificate' | 'certificateProblem'>>;
    }
  | { readonly type: 'forward'; readonly index: number; readonly change: Partial<ForwardState> }
  /** The session has ended, with everything in it. */
  | { readonly type: 'session-over' };

/** Pure: the state after an event. `tunnel` is the name for the hints. */
export function reduce(
  state: TunnelState,
  event: TunnelEvent,
  { now, tunnel }: { readonly now: number; readonly tunnel: string },
): TunnelState {
  const report = (failure: TunnelFailure): FailureReport => ({
    ...reportFailure(failure, now),
    hint: hintFor(tunnel, failure.hint),
  });
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the compiler sees that what is left is of the session
  switch (event.type) {
    case 'attempt':
      return {
        ...(event.waits ? state : enter(state, 'connecting', now)),
        attempts: state.attempts + 1,
        totals: { ...state.totals, attempts: state.totals.attempts + 1 },
      };
    case 'reached':
      return enter(state, 'connecting', now);
    case 'queued':
      // Another tunnel's connection may carry it meanwhile.
      if (state.phase !== 'connecting' && state.phase !== 'waiting') return state;
      return { ...leave(state, 'waiting', now), phase: 'waiting', retryAt: event.until };
    case 'no-network':
      return { ...enter(state, 'waiting-for-network', now), failure: report(event.failure) };
    case 'scheduled': {
      const { phase, retryAt, failure } = event;
      return { ...leave(state, phase, now), phase, retryAt, failure: failure === null ? null : report(failure) };
    }
    case 'failed':
      return { ...state, failure: report(event.failure) };
    case 'stopped':
      return { ...enter(state, 'stopped', now), sourcePort: null };
    default:
      return reduceSession(state, event, now);
  }
}

function reduceSession(state: TunnelState, event: SessionEvent, now: number): TunnelState {
  const { forwards } = state;
  switch (event.type) {
    case 'source-port':
      return { ...state, sourcePort: event.port };
    case 'authenticating':
      return enter(state, 'authenticating', now);
    case 'logged-in':
      return {
        ...enter(state, 'forwarding', now),
        login: event.login,
        certificate: event.certificate,
        carrier: event.carrier,
        algorithms: event.algorithms,
        totals: countLogin(state.totals, event.algorithms.keyExchange),
      };
    case 'up':
      return { ...enter(state, 'up', now), attempts: 0, lastUp: now };
    case 'incomplete':
      return enter(state, 'forwarding', now);
    case 'watched':
      return { ...state, ...event.change };
    case 'forward':
      return { ...state, forwards: forwards.with(event.index, { ...forwards[event.index]!, ...event.change }) };
    case 'session-over':
      return { ...state, ...NO_SESSION, forwards: forwards.map((forward) => ({ ...forward, ...NOT_ASKED })) };
  }
}

function countLogin({ attempts, logins, keyExchanges }: Totals, name: string): Totals {
  return { attempts, logins: logins + 1, keyExchanges: { ...keyExchanges, [name]: (keyExchanges[name] ?? 0) + 1 } };
}

function enter(state: TunnelState, phase: Exclude<Phase, 'waiting' | 'blocked'>, now: number): TunnelState {
  return { ...leave(state, phase, now), phase, retryAt: null };
}

/** The times at a change of phase. */
function leave(state: TunnelState, next: Phase, now: number): TunnelState {
  if (next === state.phase) return state;
  return { ...state, since: now, lastUp: state.phase === 'up' ? now : state.lastUp };
}

/** The state of one tunnel; nothing else changes it, but for the counters and open connections of a forward. */
export interface Store {
  state(): TunnelState;
  dispatch(event: TunnelEvent): void;
  /** Calls `listener` after each event; the result unsubscribes. */
  readonly subscribe: Changes['subscribe'];
}

type Changes = Emitter<[now: TunnelState, before: TunnelState, event: TunnelEvent]>;

export function createStore(spec: TunnelSpec, clock: Clock): Store {
  const changes: Changes = createEmitter();
  let state = initialState(spec, clock.now());
  return {
    state: () => state,
    dispatch: (event) => {
      const before = state;
      state = reduce(state, event, { now: clock.now(), tunnel: spec.name });
      changes.emit(state, before, event);
    },
    subscribe: changes.subscribe,
  };
}

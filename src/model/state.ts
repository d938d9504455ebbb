import { formatEndpoint } from './endpoint.ts';
import type { ForwardSpec, ServerSpec, TunnelSpec } from './spec.ts';
import type { FailureCode, TunnelFailure } from './failure.ts';

/**
 * Where a tunnel is in its life:
 * ```
 *               no-network                            another's connection
 *   ┌─────────────────────▶ waiting-for-network   ┌──────────────────────────┐      incomplete
 *   │                               │ reached     │                          ▼    ◀───────────
 *   │  attempt              reached ▼             │ authenticating      logged-in               up
 * waiting ─────────────────▶ connecting ──────────┴▶ authenticating ────▶ forwarding ──────────▶ up
 *   ▲  ▲          queued        │                        │                    │                 │
 *   │  └────────────────────────┤ scheduled              │                    │                 │
 *   ├───────────────────────────┴────────────────────────┴────────────────────┴─────────────────┘
 * blocked                       (a retry at `retryAt`; `blocked` where a person must act: slowly)
 * ```
 * and from anywhere to `stopped`. The events and what follows from them are in the tunnel's store.
 */
export type Phase = PhaseAndRetry['phase'];

/** Only what waits has a time of its next attempt. */
type PhaseAndRetry =
  | { readonly phase: 'waiting' | 'blocked'; readonly retryAt: number }
  | {
      readonly phase: 'waiting-for-network' | 'connecting' | 'authenticating' | 'forwarding' | 'up' | 'stopped';
      readonly retryAt: null;
    };

/** What is known of a tunnel. Times are those of the monotonic clock (Clock.now), in milliseconds. */
export type TunnelState = PhaseAndRetry & TunnelFacts;

interface TunnelFacts {
  /** When this phase began. */
  readonly since: number;
  /** Attempts to connect since it was last up, the present one included. */
  readonly attempts: number;
  /** Since when the connection that is up has been silent and does not answer, or null when all is well. */
  readonly silentSince: number | null;
  readonly rttMs: number | null;
  /** The local port of the live connection. */
  readonly sourcePort: number | null;
  /** The method and the key by which the live connection is logged in, and what was refused before; nothing in it is secret. */
  readonly login: string | null;
  /** The tunnel that opened the connection, where it was another one: this one shares it. */
  readonly carrier: string | null;
  /** The last thing that went wrong, also when it has been overcome since. */
  readonly failure: FailureReport | null;
  /** When it was last up, or null: health has patience with a short outage. */
  readonly lastUp: number | null;
  readonly forwards: readonly ForwardState[];
}

export interface FailureReport {
  readonly code: FailureCode;
  readonly message: string;
  readonly hint: string;
  readonly at: number;
}

export interface ForwardState {
  readonly spec: ForwardSpec;
  readonly state: 'pending' | 'up' | 'refused';
  /** The port that the server chose where 0 was asked for. */
  readonly boundPort: number | null;
  /** Why it was refused, as far as is known; null unless it is. */
  readonly refusal: Refusal | null;
  /** Whether a connection to the listener was seen to come out here; `no` where it was seen to come out elsewhere. */
  readonly verified: 'yes' | 'no' | 'unknown';
  /** Why that is unknown, or null. */
  readonly unverified: string | null;
  /** Whether it was seen not to be where it was asked for: what it is worth is less than what was wanted. */
  readonly misplaced: boolean;
  /** Whether others than the server reach it, though it was asked for loopback (GatewayPorts yes). */
  readonly exposed: boolean;
  /** Why the target was not reached when a visitor last came, or null when it was. */
  readonly targetFailure: FailureReport | null;
  readonly counters: Readonly<Counters>;
}

/** Live numbers of one forward, for as long as its tunnel is configured; bytesIn is what visitors sent. */
export interface Counters {
  connections: number;
  totalConnections: number;
  refusedConnections: number;
  /** Those that ended because the SSH connection was lost under them. */
  cutConnections: number;
  bytesIn: number;
  bytesOut: number;
}

export function initialState(spec: TunnelSpec, now: number): TunnelState {
  return {
    phase: 'connecting',
    since: now,
    attempts: 0,
    retryAt: null,
    silentSince: null,
    rttMs: null,
    sourcePort: null,
    login: null,
    carrier: null,
    failure: null,
    lastUp: null,
    forwards: spec.forwards.map((forward) => ({
      spec: forward,
      ...NOT_ASKED,
      targetFailure: null,
      counters: {
        connections: 0,
        totalConnections: 0,
        refusedConnections: 0,
        cutConnections: 0,
        bytesIn: 0,
        bytesOut: 0,
      },
    })),
  };
}

/** What is to be said of a listener that is `exposed`. */
export const EXPOSED =
  'the server listens on all its addresses, though it was asked for loopback alone (GatewayPorts yes there)';

/** A forward of which nothing is known in this session. */
export const NOT_ASKED = {
  state: 'pending',
  boundPort: null,
  refusal: null,
  verified: 'unknown',
  unverified: null,
  misplaced: false,
  exposed: false,
} as const satisfies Partial<ForwardState>;

export function reportFailure(failure: TunnelFailure, now: number): FailureReport {
  return { code: failure.code, message: failure.message, hint: failure.hint, at: now };
}

/** `user@host:port` as people write it. */
export function formatServer(spec: Pick<ServerSpec, 'user' | 'host' | 'port'>): string {
  return `${spec.user}@${formatEndpoint({ type: 'tcp', host: spec.host, port: spec.port })}`;
}

/** The listener with the port that the server really chose. */
export function formatListen(forward: ForwardState): string {
  const { listen } = forward.spec;
  if (listen.type === 'unix' || forward.boundPort === null) return formatEndpoint(listen);
  return formatEndpoint({ ...listen, port: forward.boundPort });
}

/** Why a listener was refused, as far as can be found out. */
export type Refusal = 'in-use' | 'forbidden' | 'unknown';

import type { CertificateFacts } from './certificate.ts';
import { formatEndpoint, formatAddress } from './endpoint.ts';
import type { HostCertificate } from './host-certificate.ts';
import type { ForwardSpec, ServerSpec, TunnelSpec } from './spec.ts';
import type { FailureCode, TunnelFailure } from './failure.ts';

/**
 * Where a tunnel is in its life. It begins with `connecting`, because the server is dialled first. At the arrows are the events of the
 * tunnel's store (src/tunnel/store.ts), which has what follows from them:
 * ```
 *        start    waiting, blocked
 *            │    │ attempt, reached
 *            ▼    ▼   authenticating             logged-in                up
 *          connecting ────────────▶ authenticating ────▶ forwarding ─────────────▶ up
 *            │    ▲                                        ▲      ◀─────────────
 * no-network │    │ reached, attempt                       │        incomplete
 *            ▼    │                                        └─ logged-in: from each state before it, on another tunnel's connection
 *     waiting-for-network ◀── no-network ── waiting
 *
 *   any ─── scheduled ──▶ waiting, or blocked where a person must act: `retryAt` is the time of the next attempt
 *   connecting ─ queued ▶ waiting, for the server's turn
 *   any ──── stopped ───▶ stopped
 * ```
 * An attempt that costs the server next to nothing leaves `waiting` only when the server answers (`reached`); every other one does at once.
 */
export type Phase = PhaseAndRetry['phase'];

export const PHASES = [
  'waiting-for-network',
  'connecting',
  'authenticating',
  'forwarding',
  'up',
  'waiting',
  'blocked',
  'stopped',
] as const satisfies readonly Phase[];

/** Only a waiting or blocked tunnel has a time of its next attempt. */
type PhaseAndRetry =
  | { readonly phase: 'waiting' | 'blocked'; readonly retryAt: number }
  | {
      readonly phase: 'waiting-for-network' | 'connecting' | 'authenticating' | 'forwarding' | 'up' | 'stopped';
      readonly retryAt: null;
    };

/** The state of a tunnel. Times are those of the monotonic clock (Clock.now), in milliseconds. */
export type TunnelState = PhaseAndRetry & TunnelFacts;

interface TunnelFacts {
  /** When this phase began. */
  readonly since: number;
  /** Attempts to connect since it was last up, including the present one. */
  readonly attempts: number;
  /** Since when the connection has been silent and in doubt, or null. */
  readonly silentSince: number | null;
  readonly rttMs: number | null;
  /** The local port of the live connection. */
  readonly sourcePort: number | null;
  /** The method and the key of the live connection's login, and what was refused before; contains no secret. */
  readonly login: string | null;
  /** Of the live connection's login: as it is in its file where that was renewed since, and was read again. */
  readonly certificate: CertificateFacts | null;
  /** Why the next login with it may fail: it is about to end. */
  readonly certificateProblem: string | null;
  /** The tunnel that opened the connection, where this one shares it. */
  readonly carrier: string | null;
  /** Of the live connection, or null. */
  readonly algorithms: AgreedAlgorithms | null;
  /** For as long as the tunnel is configured as it is. */
  readonly totals: Totals;
  /** The last failure, even when it has been overcome since. */
  readonly failure: FailureReport | null;
  /** When it was last up, or null: health tolerates a short outage. */
  readonly lastUp: number | null;
  readonly forwards: readonly ForwardState[];
}

/** What both sides agreed on before a login: names of algorithms, safe to print. */
export interface AgreedAlgorithms {
  readonly keyExchange: string;
  readonly hostKey: string;
  /** Null where the host key is known itself. */
  readonly hostCertificate: HostCertificate | null;
}

export interface Totals {
  readonly attempts: number;
  readonly logins: number;
  /** Logins by the key exchange that was agreed on. */
  readonly keyExchanges: Readonly<Record<string, number>>;
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
  /** The port that the server chose for port 0. */
  readonly boundPort: number | null;
  /** Why it was refused, as far as is known; null unless it is. */
  readonly refusal: Refusal | null;
  /** Whether a connection to the listener came out here; `no` where it came out elsewhere. */
  readonly verified: 'yes' | 'no' | 'unknown';
  /** Why `verified` is unknown, or null. */
  readonly unverified: string | null;
  /** Whether the listener was seen at other addresses than requested. */
  readonly misplaced: boolean;
  /**
   * Whether other machines than the server reach the listener, though it was requested on loopback (GatewayPorts yes).
   */
  readonly exposed: boolean;
  /** Why the target was not reached for the last visitor, or null where it was. */
  readonly targetFailure: FailureReport | null;
  readonly counters: Readonly<Counters>;
  /** Those that are open, the oldest first; live, as the counters are. */
  readonly open: Set<OpenConnection>;
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

/** One connection through a forward. Names are safe to print; bytesIn is what the visitor sent. */
export interface OpenConnection {
  readonly originator: string;
  readonly target: string;
  /** Of the monotonic clock, in milliseconds. */
  readonly since: number;
  bytesIn: number;
  bytesOut: number;
}

/** What is known of a live connection, where there is none. */
export const NO_SESSION = {
  sourcePort: null,
  login: null,
  certificate: null,
  certificateProblem: null,
  carrier: null,
  algorithms: null,
  rttMs: null,
  silentSince: null,
} as const;

export function initialState(spec: TunnelSpec, now: number): TunnelState {
  return {
    phase: 'connecting',
    since: now,
    attempts: 0,
    retryAt: null,
    ...NO_SESSION,
    totals: { attempts: 0, logins: 0, keyExchanges: {} },
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
      open: new Set(),
    })),
  };
}

/** Shown for a listener that is `exposed`. */
export const EXPOSED =
  'the server listens on all its addresses, though loopback was requested (GatewayPorts yes there)';

/** The state of a forward at the start of a session. */
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

/** `user@host:port`. */
export function formatServer(spec: Pick<ServerSpec, 'user' | 'host' | 'port'>): string {
  return `${spec.user}@${formatAddress(spec)}`;
}

/** The listener, with the port that the server chose. */
export function formatListen(forward: ForwardState): string {
  const { listen } = forward.spec;
  if (listen.type === 'unix' || forward.boundPort === null) return formatEndpoint(listen);
  return formatEndpoint({ ...listen, port: forward.boundPort });
}

/** Why a listener was refused, as far as can be found out. */
export type Refusal = 'in-use' | 'forbidden' | 'unknown';

import { plural } from '../lib/text.ts';
import { type ConfigurationState, assessHealth, assessTunnel, type Health } from './health.ts';
import { formatEndpoint, formatAddress } from '../model/endpoint.ts';
import type { FailureCode } from '../model/failure.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatListen, formatServer, type FailureReport, type Phase, type TunnelState } from '../model/state.ts';
import { wholeTunnels } from '../supervisor/whole-tunnels.ts';
import { type Redundancy, tunnelOf } from '../model/redundancy.ts';
import type { RunningTunnel } from '../supervisor/supervisor.ts';

/**
 * The document of `tunneld status --json`. Times are ISO 8601; keys are only ever added. All times keep their distance from `now`: when the
 * machine's clock is set, they move with it.
 */
export interface StatusDocument {
  /** Absent in the answer of a daemon that an upgrade has not restarted yet. */
  readonly now?: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly health: Health;
  readonly config: string;
  /** The file is not valid as it is now: the running configuration is older. */
  readonly configProblem?: { readonly message: string; readonly at: string };
  /** The running configuration ends at that time unless it is confirmed; these tunnels are not up yet. */
  readonly trial?: { readonly candidate: string; readonly until: string; readonly waitingFor: readonly string[] };
  readonly process?: ProcessFigures;
  /** What the daemon has to do without, as sentences: its state files, its log, its socket. */
  readonly problems?: readonly string[];
  /** Why data is not encrypted by the addon, which costs more processor time; absent where it is. */
  readonly nativeCryptoProblem?: string;
  readonly tunnels: readonly TunnelStatus[];
}

/** What the daemon costs. */
interface ProcessFigures {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly openFileDescriptors: number;
}

export interface TunnelStatus {
  readonly name: string;
  readonly phase: Phase;
  readonly health: Health;
  readonly since: string;
  /** When it was last up, or when it was started where it never was; absent while it is up. */
  readonly downSince?: string;
  readonly server: string;
  /** Of a tunnel with several servers, each of which has a row. */
  readonly servers?: ServersStatus;
  /** The route, the nearest first: a proxy or a proxyCommand, and jumps. */
  readonly via?: readonly string[];
  readonly attempts: number;
  readonly retryAt?: string;
  /** The connection is up but has been silent since then and does not answer. */
  readonly silentSince?: string;
  readonly rttMs?: number;
  readonly sourcePort?: number;
  /** How the live connection is logged in: the method, or the key by its fingerprint and file; and what was refused before. */
  readonly login?: string;
  /** Of the login of the live connection; `problem` where it is about to end. */
  readonly certificate?: CertificateStatus;
  /** The tunnel whose connection carries this one as well, because one of its own would have had to wait for its turn. */
  readonly carrier?: string;
  /** Of the live connection. */
  readonly keyExchange?: string;
  readonly hostKeyAlgorithm?: string;
  /** The certificate for which the host key is trusted; without `validUntil` it never expires. */
  readonly hostCertificate?: { readonly keyId: string; readonly authority: string; readonly validUntil?: string };
  /** Since the daemon has had the tunnel as it is configured. */
  readonly totalAttempts?: number;
  readonly logins?: number;
  /** Logins by the key exchange that was agreed on. */
  readonly keyExchanges?: Readonly<Record<string, number>>;
  /** Outages that are over, by their cause, since the daemon started. */
  readonly outages?: Readonly<Record<string, OutageTotal>>;
  /** The last outage that is over. */
  readonly lastOutage?: LastOutage;
  /** The last failure, also when it has been overcome since. */
  readonly failure?: FailureStatus;
  readonly forwards: readonly ForwardStatus[];
  /** The predecessors of this tunnel, which run until it is up. */
  readonly previous?: readonly PreviousTunnel[];
}

interface ServersStatus extends Pick<Redundancy, 'tunnel' | 'mode'> {
  /** This server is not to have the tunnel at present: its phase is `stopped`, and it is well. */
  readonly standby?: true;
  /** Another server has the tunnel while this one has not: visitors come through that one. */
  readonly elsewhere?: string;
}

interface CertificateStatus {
  /** Absent for one that only an agent has. */
  readonly file?: string;
  readonly keyId: string;
  readonly serial: string;
  readonly principals: readonly string[];
  /** The fingerprint of the authority's key. */
  readonly authority: string;
  readonly validFrom?: string;
  readonly validUntil?: string;
  readonly problem?: string;
}

interface OutageTotal {
  readonly count: number;
  readonly seconds: number;
}

interface LastOutage {
  readonly cause: string;
  readonly to: string;
  readonly durationMs: number;
}

export interface PreviousTunnel extends Pick<TunnelStatus, 'name' | 'phase' | 'since' | 'server'> {
  readonly listen: readonly string[];
}

export interface FailureStatus {
  readonly code: FailureCode;
  readonly message: string;
  readonly hint: string;
  readonly at: string;
}

export interface ForwardStatus {
  readonly kind: 'remote' | 'local' | 'dynamic';
  readonly listen: string;
  readonly target: string;
  readonly state: 'pending' | 'up' | 'refused';
  /** Why the server refused, as far as it is known. */
  readonly refusal?: 'in-use' | 'forbidden' | 'unknown';
  /** Whether a round trip through the listener was seen; unknown until it is checked. */
  readonly verified: 'yes' | 'no' | 'unknown';
  /** Why that is unknown. */
  readonly unverified?: string;
  /** Other machines reach this listener, though it was asked for on loopback alone. */
  readonly exposed?: true;
  readonly connections: number;
  readonly totalConnections: number;
  readonly refusedConnections: number;
  /** Those that ended because the SSH connection was lost under them; absent in the answer of an older daemon. */
  readonly cutConnections?: number;
  /** Bytes that visitors sent. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly targetFailure?: FailureStatus;
  /** The oldest MAX_LISTED of those that are open; only where they were asked for. */
  readonly openConnections?: readonly ConnectionStatus[];
}

interface ConnectionStatus {
  /** `ADDRESS:PORT`, as the server gave it. */
  readonly originator: string;
  /** What a SOCKS client asked for, else that of the forward. */
  readonly target: string;
  readonly since: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** So many open connections of a forward are listed; `connections` has their number. */
export const MAX_LISTED = 100;

export interface DaemonFacts {
  readonly process: ProcessFigures;
  /** What is kept of the outages of a tunnel since the daemon started. Times are those of the monotonic clock, in milliseconds. */
  outagesOf(tunnel: string): OutageFacts;
  readonly version: string;
  readonly pid: number;
  readonly config: string;
  readonly configuration: ConfigurationState;
  readonly problems: readonly string[];
  readonly nativeCryptoProblem: string | null;
  /** Of the monotonic clock, in milliseconds. */
  readonly startedAt: number;
}

interface OutageFacts {
  readonly totals: Readonly<Record<string, OutageTotal>>;
  readonly last: { readonly cause: string; readonly to: number; readonly durationMs: number } | null;
}

/** One moment on both clocks. */
interface Moment {
  readonly now: number;
  readonly wall: number;
}

/** With `connections` those that are open are listed. */
export function statusDocument(
  facts: DaemonFacts,
  tunnels: readonly RunningTunnel[],
  moment: Moment,
  { connections }: { readonly connections: boolean } = { connections: false },
): StatusDocument {
  const { problem, trial } = facts.configuration;
  const iso: Iso = (time) => new Date(moment.wall + time - moment.now).toISOString();
  return {
    now: iso(moment.now),
    version: facts.version,
    pid: facts.pid,
    startedAt: iso(facts.startedAt),
    health: assessHealth(tunnels, facts.configuration, moment.now),
    config: facts.config,
    ...(problem === null ? {} : { configProblem: { ...problem, at: iso(problem.at) } }),
    ...(trial === null ? {} : { trial: { ...trial, until: iso(trial.until) } }),
    process: facts.process,
    ...(facts.problems.length === 0 ? {} : { problems: facts.problems }),
    ...(facts.nativeCryptoProblem === null ? {} : { nativeCryptoProblem: facts.nativeCryptoProblem }),
    tunnels: tunnels.map((tunnel) => {
      const shown = tunnelStatus(tunnel, facts, moment.now, iso);
      return connections ? { ...shown, forwards: withConnections(shown.forwards, tunnel, iso) } : shown;
    }),
  };
}

/** One line for a service manager: `2 of 3 tunnels up; backup: connect-refused`. It stays the same from one attempt to the next. */
export function summaryLine(
  tunnels: readonly RunningTunnel[],
  { problem, trial }: ConfigurationState,
  problems: readonly string[] = [],
): string {
  const whole = wholeTunnels(tunnels);
  const up = whole.filter(({ state }) => state.phase === 'up').length;
  const others = whole
    .filter(({ state }) => state.phase !== 'up')
    .map(({ spec, state }) => `${spec.name}: ${state.failure?.code ?? state.phase}`);
  const configuration = problem !== null ? ['the configuration file is not valid'] : trial !== null ? ['on trial'] : [];
  const count = `${up} of ${plural(whole.length, 'tunnel')} up`;
  return [...configuration, count, ...others, ...problems].join('; ');
}

/** A time of the monotonic clock as wall-clock time. */
type Iso = (time: number) => string;

function tunnelStatus(tunnel: RunningTunnel, facts: DaemonFacts, now: number, iso: Iso): TunnelStatus {
  const { spec, state, previous } = tunnel;
  // Of a tunnel with several servers, outages are those in which none had it.
  const { totals, last } = spec.name === tunnelOf(spec.name) ? facts.outagesOf(spec.name) : { totals: {}, last: null };
  return {
    name: spec.name,
    phase: state.phase,
    health: assessTunnel(tunnel, now),
    since: iso(state.since),
    ...(state.phase === 'up' ? {} : { downSince: iso(state.lastUp ?? tunnel.startedAt) }),
    server: formatServer(spec),
    ...serversOf(tunnel),
    ...(via(spec).length === 0 ? {} : { via: via(spec) }),
    attempts: state.attempts,
    ...(state.retryAt === null ? {} : { retryAt: iso(state.retryAt) }),
    ...(state.silentSince === null ? {} : { silentSince: iso(state.silentSince) }),
    ...(state.rttMs === null ? {} : { rttMs: state.rttMs }),
    ...(state.sourcePort === null ? {} : { sourcePort: state.sourcePort }),
    ...(state.login === null ? {} : { login: state.login }),
    ...certificateStatus(state),
    ...(state.carrier === null ? {} : { carrier: state.carrier }),
    ...algorithmsStatus(state.algorithms),
    totalAttempts: state.totals.attempts,
    logins: state.totals.logins,
    keyExchanges: state.totals.keyExchanges,
    outages: totals,
    ...(last === null ? {} : { lastOutage: { ...last, to: iso(last.to) } }),
    ...(state.failure === null ? {} : { failure: failureStatus(state.failure, iso) }),
    forwards: state.forwards.map((forward) => ({
      kind: forward.spec.kind,
      listen: formatListen(forward),
      target: formatEndpoint(forward.spec.target),
      state: forward.state,
      ...(forward.refusal === null ? {} : { refusal: forward.refusal }),
      verified: forward.verified,
      ...(forward.unverified === null ? {} : { unverified: forward.unverified }),
      ...(forward.exposed ? { exposed: true } : {}),
      ...forward.counters,
      ...(forward.targetFailure === null ? {} : { targetFailure: failureStatus(forward.targetFailure, iso) }),
    })),
    ...(previous.length === 0 ? {} : { previous: previous.map((old) => previousTunnel(old, iso)) }),
  };
}

function serversOf({ spec: { redundancy }, standby, elsewhere }: RunningTunnel): Pick<TunnelStatus, 'servers'> {
  if (redundancy === undefined) return {};
  const { tunnel, mode } = redundancy;
  const found = { ...(standby === undefined ? {} : { standby }), ...(elsewhere === undefined ? {} : { elsewhere }) };
  return { servers: { tunnel, mode, ...found } };
}

/** Whether it is up, or another server has the tunnel, or it is not to have it at present. */
export function isFine({ phase, servers }: Pick<TunnelStatus, 'phase' | 'servers'>): boolean {
  return phase === 'up' || servers?.elsewhere !== undefined || servers?.standby === true;
}

function withConnections(
  forwards: readonly ForwardStatus[],
  { state }: RunningTunnel,
  iso: Iso,
): readonly ForwardStatus[] {
  return forwards.map((forward, index) => ({
    ...forward,
    openConnections: [...(state.forwards[index]?.open ?? [])].slice(0, MAX_LISTED).map((connection) => ({
      ...connection,
      since: iso(connection.since),
    })),
  }));
}

function previousTunnel({ spec, state }: RunningTunnel, iso: Iso): PreviousTunnel {
  return {
    name: spec.name,
    phase: state.phase,
    since: iso(state.since),
    server: formatServer(spec),
    listen: state.forwards.filter((forward) => forward.state === 'up').map(formatListen),
  };
}

function via({ entry, jumps }: TunnelSpec): readonly string[] {
  const first =
    entry.type === 'direct'
      ? []
      : [entry.type === 'command' ? 'proxyCommand' : `${entry.type}://${formatAddress(entry)}`];
  return [...first, ...jumps.map(formatServer)];
}

/** Its times are not of the monotonic clock: they are what the authority has written. */
function certificateStatus({ certificate, certificateProblem }: TunnelState): Pick<TunnelStatus, 'certificate'> {
  if (certificate === null) return {};
  const { file, keyId, serial, principals, authority, validFrom, validUntil } = certificate;
  return {
    certificate: {
      ...(file === null ? {} : { file }),
      keyId,
      serial,
      principals,
      authority,
      ...(validFrom === null ? {} : { validFrom: new Date(validFrom).toISOString() }),
      ...(validUntil === null ? {} : { validUntil: new Date(validUntil).toISOString() }),
      ...(certificateProblem === null ? {} : { problem: certificateProblem }),
    },
  };
}

function algorithmsStatus(
  algorithms: TunnelState['algorithms'],
): Pick<TunnelStatus, 'keyExchange' | 'hostKeyAlgorithm' | 'hostCertificate'> {
  if (algorithms === null) return {};
  const { keyExchange, hostKey: hostKeyAlgorithm, hostCertificate } = algorithms;
  if (hostCertificate === null) return { keyExchange, hostKeyAlgorithm };
  const { keyId, authority, validUntil } = hostCertificate;
  const certificate = { keyId, authority, ...(validUntil === null ? {} : { validUntil }) };
  return { keyExchange, hostKeyAlgorithm, hostCertificate: certificate };
}

function failureStatus(failure: FailureReport, iso: Iso): FailureStatus {
  return { ...failure, at: iso(failure.at) };
}

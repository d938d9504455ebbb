import { isIP, isIPv6, type Socket } from 'node:net';
import { abortable } from '../lib/async/abort.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { asFailure, TunnelFailure, type FailureCode } from '../model/failure.ts';
import { type Family, familyOf } from './address-family.ts';
import { type Binding, describeBinding, localAddress } from './local-address.ts';
import { systemLookup, type Lookup } from './addresses/resolve-host.ts';
import { openPersistently, type PortChoice } from './open-racing.ts';
import { TimeoutError } from './open-socket.ts';
import { resetSocket } from './streams/reset-socket.ts';
import { formatAddress } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { firstToSucceed } from './stagger.ts';
import type { NetworkPath, Turn, TurnRequest, Turns } from './pacing/turns.ts';
import { deadline } from '../lib/async/deadline.ts';
import { firstToEnd } from '../lib/async/scope.ts';

export type DialSpec = Pick<
  TunnelSpec,
  'host' | 'port' | 'addressFamily' | 'bindAddress' | 'bindInterface' | 'tcpKeepAlive' | 'connectLimit'
>;

export interface DialDeps {
  readonly clock: Clock;
  readonly turns: Turns;
  readonly lookup?: Lookup;
  /** The ports to dial from; any port where it is absent or null. */
  readonly ports?: PortChoice;
  /** What the tunnel that dials asks for; absent for a command that a user runs. */
  readonly request?: Pick<TurnRequest, 'loginHistory' | 'urgent' | 'since'>;
  /** The server behind, where the host is a proxy. */
  readonly behindProxy?: string | undefined;
  /**
   * The turn comes at that time (infinity: after others have had theirs). Called at least every ten seconds, and at
   * each change.
   */
  onWait?(at: number): void;
  onTurn?(): void;
}

/** An open connection, the turn that it took, and what is left of the time. */
export interface Dialled {
  readonly socket: Socket;
  readonly turn: Turn;
  readonly leftMs: number;
}

/**
 * Opens a TCP connection to the server: looks its name up afresh, waits for its turn (see Turns) and tries the addresses one after
 * the other, the next beside the last where that does not answer at once (RFC 8305), the one that answered last time first. The
 * look-up and the connection take `timeoutMs` at most; the wait for a turn does not count. Rejects with dns-failed,
 * connect-refused, connect-timeout or unreachable, naming every address that was tried.
 */
export async function dial(spec: DialSpec, timeoutMs: number, deps: DialDeps, signal: AbortSignal): Promise<Dialled> {
  const { clock, turns, lookup = systemLookup } = deps;
  const tooSlow = `looking up ${spec.host} took longer than ${Math.round(timeoutMs / 1000)} s`;
  const request = turnRequest(spec, deps);
  for (;;) {
    const started = clock.now();
    const late = () => new TunnelFailure('dns-failed', tooSlow);
    const found = await deadline(clock, timeoutMs, late, (own) => resolve(spec, lookup, own), signal);
    const leftMs = timeoutMs - (clock.now() - started);
    const addresses = turns.hosts.ordered(spec.host, found);
    const dialled = await dialOne(spec, addresses, leftMs, request, deps, signal);
    // The name may resolve differently by now.
    if (dialled !== null) return dialled;
  }
}

/** The earliest time at which dial() may dial, as far as is known without looking the name up. */
export function nextDialAt(
  spec: DialSpec,
  deps: Pick<DialDeps, 'clock' | 'turns' | 'request' | 'behindProxy'>,
): number {
  const addresses = deps.turns.hosts.last(spec.host);
  if (addresses.length === 0) return deps.clock.now();
  const request = turnRequest(spec, deps);
  return Math.min(...addresses.map((address) => deps.turns.nextAt(pathTo(spec, address, deps), request)));
}

/** A request for a turn; without facts about the tunnel, that of a command that a user runs. */
export function turnRequest(
  { connectLimit }: DialSpec,
  { request, clock }: Pick<DialDeps, 'request' | 'clock'>,
): TurnRequest {
  return {
    purpose: 'login',
    loginHistory: 'proven',
    urgent: true,
    since: clock.now(),
    ...request,
    limit: connectLimit,
  };
}

function pathTo(spec: DialSpec, address: string, { behindProxy }: Pick<DialDeps, 'behindProxy'>): NetworkPath {
  return { address, port: spec.port, source: sourceOf(spec), behindProxy };
}

/** The configured source of connections, or null; servers count each of our addresses by itself. */
export function sourceOf({ bindAddress, bindInterface }: Binding): string | null {
  return bindAddress ?? bindInterface;
}

/** Null where no address has had its turn for so long that the name should be looked up again. */
async function dialOne(
  spec: DialSpec,
  addresses: readonly string[],
  leftMs: number,
  request: TurnRequest,
  deps: DialDeps,
  signal: AbortSignal,
): Promise<Dialled | null> {
  const { clock, turns } = deps;
  const nextAt = (address: string) => turns.nextAt(pathTo(spec, address, deps), request);
  const times = addresses.map(nextAt);
  const now = clock.now();
  if (Math.min(...times) > now) deps.onWait?.(Math.min(...times));
  // An address whose turn comes now, or right after another's, does not wait for an address whose turn comes later.
  const isSoon = (_: string, index: number) =>
    times[index]! <= now + SOON_MS || times[index] === Number.POSITIVE_INFINITY;
  const inOrder = [...addresses.filter(isSoon), ...addresses.filter((one, index) => !isSoon(one, index))];
  const dialling = new Set<string>();
  const waits = new Map<string, number>();
  const tries = inOrder.map((address) => async (own: AbortSignal) => {
    const turn = await turns
      .take(pathTo(spec, address, deps), request, own, (at) => {
        waits.set(address, at);
        if (dialling.size === 0) deps.onWait?.(Math.min(...waits.values()));
      })
      .finally(() => waits.delete(address));
    dialling.add(address);
    deps.onTurn?.();
    return await dialInTurn(spec, address, leftMs, turn, deps, own).finally(() => dialling.delete(address));
  });
  const race = async (own: AbortSignal) => {
    const delayMs = turns.hosts.patience(spec.host);
    const dialled = await firstToSucceed(tries, { clock, delayMs, discard }, own);
    if (own.aborted) discard(dialled);
    return dialled;
  };
  const noTurnForLong = async (own: AbortSignal): Promise<never> => {
    do await sleep(clock, LOOKUP_AGAIN_MS, own);
    while (dialling.size > 0);
    // All dialled addresses have failed, and the others wait.
    deps.onWait?.(Math.min(...addresses.map(nextAt).filter((at) => at > clock.now())));
    throw NO_TURN;
  };
  try {
    return await firstToEnd(signal, [race, noTurnForLong]);
  } catch (error) {
    if (error === NO_TURN) return null;
    throw error instanceof AggregateError ? mostTelling(error.errors.map(asFailure)) : error;
  }
}

const SOON_MS = 1000;
/** After this long without a turn the name is looked up again, and a heartbeat sent. */
export const LOOKUP_AGAIN_MS = 10_000;
export const NO_TURN = new Error('no turn yet');

/** Closes a connection that is not needed. */
export function discard({ socket, turn }: Dialled): void {
  resetSocket(socket);
  turn.end();
}

async function dialInTurn(
  spec: DialSpec,
  address: string,
  timeoutMs: number,
  turn: Turn,
  deps: DialDeps,
  signal: AbortSignal,
): Promise<Dialled> {
  const { clock, turns } = deps;
  const started = clock.now();
  try {
    const socket = await dialAddress(spec, address, timeoutMs, turn, deps, signal);
    const tookMs = clock.now() - started;
    // The proxy let the connection in; the server behind it may still refuse it.
    if (deps.behindProxy === undefined) turn.opened();
    turns.hosts.answered(spec.host, address, tookMs);
    return { socket, turn, leftMs: Math.max(MIN_HANDSHAKE_MS, timeoutMs - tookMs) };
  } catch (error) {
    if (!signal.aborted) throw turn.failed(asFailure(error));
    turn.end();
    throw error;
  }
}

/** A TCP connection that opens at the last moment still gets this long for its handshake. */
const MIN_HANDSHAKE_MS = 1000;

async function resolve(spec: DialSpec, lookup: Lookup, signal: AbortSignal): Promise<readonly string[]> {
  const family = wantedFamily(spec);
  const found = await abortable(lookup(spec.host, family), signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new TunnelFailure('dns-failed', `cannot resolve ${spec.host}: ${errorCode(error) ?? errorText(error)}`, {
      cause: error,
    });
  });
  // A literal address is returned whatever family was asked for.
  const fitting = found.filter((entry) => family === 0 || entry.family === family);
  if (fitting.length === 0) {
    const what = family === 0 ? 'address' : `IPv${family} address`;
    const why = `${describeBinding(spec)}${spec.addressFamily === 'any' ? '' : ` (addressFamily: ${spec.addressFamily})`}`;
    throw new TunnelFailure('dns-failed', `${spec.host} has no ${what}${why}`);
  }
  return [...new Set(fitting.map((entry) => entry.address))];
}

/** A bind address reaches addresses of its own family only. */
function wantedFamily({ addressFamily, bindAddress }: DialSpec): Family {
  if (addressFamily === 'any') return isIP(bindAddress ?? '') as Family;
  return familyOf({ addressFamily });
}

async function dialAddress(
  spec: DialSpec,
  address: string,
  timeoutMs: number,
  { gentle }: Turn,
  { clock, ports = null }: DialDeps,
  signal: AbortSignal,
): Promise<Socket> {
  const from = localAddress(spec, isIPv6(address) ? 6 : 4);
  const options = {
    host: address,
    port: spec.port,
    noDelay: true,
    keepAlive: spec.tcpKeepAlive,
    ...(from === null ? {} : { localAddress: from }),
  };
  try {
    return await openPersistently(options, { timeoutMs, gentle, ports, clock }, signal);
  } catch (error) {
    const server = formatAddress({ host: address, port: spec.port });
    throw translate(error, `${server}${describeBinding(spec)}`);
  }
}

/** Translates the error of a connection that did not open. */
export function translate(error: unknown, where: string): TunnelFailure {
  const code = errorCode(error);
  const failure = error instanceof TimeoutError ? 'connect-timeout' : (SYSTEM_ERRORS[code ?? ''] ?? 'unreachable');
  return new TunnelFailure(failure, `${where}: ${code ?? errorText(error)}`, { cause: error });
}

const SYSTEM_ERRORS: Readonly<Record<string, FailureCode>> = {
  ECONNREFUSED: 'connect-refused',
  ECONNRESET: 'connect-refused',
  ETIMEDOUT: 'connect-timeout',
  ENETUNREACH: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
};

/**
 * Picks the failure that shows most: a refusal shows that the server is there, a time-out that a route is. The message
 * keeps what every address answered.
 */
function mostTelling(failures: readonly TunnelFailure[]): TunnelFailure {
  const codes = failures.map((failure) => failure.code);
  const code = TELLING.find((candidate) => codes.includes(candidate)) ?? 'unreachable';
  const cause = failures.find((failure) => failure.code === code);
  return new TunnelFailure(code, failures.map((failure) => failure.message).join('; '), { cause });
}

const TELLING: readonly FailureCode[] = ['internal', 'connect-refused', 'connect-timeout', 'unreachable'];

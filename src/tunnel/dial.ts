import { isIP, isIPv6, type Socket } from 'node:net';
import { abortable } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { asFailure, TunnelFailure, type FailureCode } from './failure.ts';
import { describeBinding, localAddress } from './local-address.ts';
import { systemLookup, type Lookup } from './lookup.ts';
import { openPersistently, type PortChoice } from './open-persistently.ts';
import { TimeoutError } from './open-socket.ts';
import { formatEndpoint, type TunnelSpec } from './spec.ts';

export type DialSpec = Pick<
  TunnelSpec,
  'host' | 'port' | 'addressFamily' | 'bindAddress' | 'bindInterface' | 'tcpKeepAlive'
>;

/**
 * Opens a TCP connection to the server: looks its name up afresh and tries every address in turn, all within `timeoutMs`.
 * Rejects with dns-failed, connect-refused, connect-timeout or unreachable, naming every address that was tried.
 */
export async function dial(
  spec: DialSpec,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
  lookup: Lookup = systemLookup,
  ports: PortChoice = null,
): Promise<Socket> {
  const deadline = clock.now() + timeoutMs;
  const tooSlow = `looking up ${spec.host} took longer than ${Math.round(timeoutMs / 1000)} s`;
  const addresses = await within(resolve(spec, lookup, signal), timeoutMs, tooSlow, clock, signal);
  const failures: TunnelFailure[] = [];
  for (const [index, address] of addresses.entries()) {
    // Every address gets its share, so that one that swallows packets does not hide the next.
    const share = Math.max(0, deadline - clock.now()) / (addresses.length - index);
    try {
      return await dialAddress(spec, address, share, ports, clock, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(asFailure(error));
    }
  }
  throw mostTelling(failures);
}

async function resolve(spec: DialSpec, lookup: Lookup, signal: AbortSignal): Promise<readonly string[]> {
  const family = wantedFamily(spec);
  const found = await abortable(lookup(spec.host, family), signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new TunnelFailure('dns-failed', `cannot resolve ${spec.host}: ${errorCode(error) ?? errorText(error)}`, {
      cause: error,
    });
  });
  // An address that stands in the place of a name comes back whatever its family.
  const fitting = found.filter((entry) => family === 0 || entry.family === family);
  if (fitting.length === 0) {
    const what = family === 0 ? 'address' : `IPv${family} address`;
    const why = `${describeBinding(spec)}${spec.addressFamily === 'any' ? '' : ` (addressFamily: ${spec.addressFamily})`}`;
    throw new TunnelFailure('dns-failed', `${spec.host} has no ${what}${why}`);
  }
  return [...new Set(fitting.map((entry) => entry.address))];
}

/** From an address of one family only addresses of the same can be reached. */
function wantedFamily({ addressFamily, bindAddress }: DialSpec): 0 | 4 | 6 {
  if (addressFamily === 'any') return isIP(bindAddress ?? '') as 0 | 4 | 6;
  return addressFamily === 'inet' ? 4 : 6;
}

/** A look-up that takes too long is left behind. */
function within<T>(work: Promise<T>, ms: number, tooSlow: string, clock: Clock, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.timer(ms, () => reject(new TunnelFailure('dns-failed', tooSlow)));
    abortable(work, signal).then(resolve, reject).finally(cancel);
  });
}

async function dialAddress(
  spec: DialSpec,
  address: string,
  timeoutMs: number,
  ports: PortChoice,
  clock: Clock,
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
    return await openPersistently(options, timeoutMs, ports, clock, signal);
  } catch (error) {
    const server = formatEndpoint({ type: 'tcp', host: address, port: spec.port });
    throw translate(error, `${server}${describeBinding(spec)}`);
  }
}

function translate(error: unknown, where: string): TunnelFailure {
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

/** A refusal says that the server is there, a time-out that a route is; the message keeps what every address answered. */
function mostTelling(failures: readonly TunnelFailure[]): TunnelFailure {
  const codes = failures.map((failure) => failure.code);
  const code = TELLING.find((candidate) => codes.includes(candidate)) ?? 'unreachable';
  return new TunnelFailure(code, failures.map((failure) => failure.message).join('; '));
}

const TELLING: readonly FailureCode[] = ['internal', 'connect-refused', 'connect-timeout', 'unreachable'];

import { isIP, type Socket } from 'node:net';
import { abortable, childController } from '../lib/async/abort.ts';
import type { Clock } from '../lib/async/clock.ts';
import { fewPerTick } from '../lib/async/slices.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { TunnelFailure } from '../model/failure.ts';
import { familyOf, fitsFamily } from './address-family.ts';
import { openSocket, TimeoutError } from './open-socket.ts';
import { createHostMemory } from './addresses/host-memory.ts';
import { createRecentAddresses } from './addresses/recent-addresses.ts';
import type { DeviceSocket } from './streams/device-socket.ts';
import { connectNative } from './streams/native-socket.ts';
import { resetSocket } from './streams/reset-socket.ts';
import { systemLookup, type Lookup } from './addresses/resolve-host.ts';
import { firstToSucceed } from './stagger.ts';
import { guardListeners } from './streams/guard-listeners.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { ServerSpec } from '../model/spec.ts';

/** The part of a tunnel that matters for dialling its targets. */
export type TargetDialSpec = Pick<ServerSpec, 'connectTimeoutMs' | 'addressFamily'>;

/**
 * Opens a connection to the target of a forward, with allowHalfOpen and guardListeners(). The addresses of a name are
 * tried like those of a server (RFC 8305). Rejects with target-unreachable or the signal's reason.
 */
export async function dialTarget(
  target: Endpoint,
  spec: TargetDialSpec,
  clock: Clock,
  signal: AbortSignal,
  lookup = systemLookup,
): Promise<Socket> {
  try {
    return guardListeners(await open(target, spec, clock, signal, lookup));
  } catch (error) {
    signal.throwIfAborted();
    const text = `${formatEndpoint(target)}: ${errorCode(error) ?? errorText(error)}`;
    throw new TunnelFailure('target-unreachable', text, { cause: error });
  }
}

/**
 * The same for a visitor: without Node.js, in much less time, where the target is on this machine and answers at once.
 */
export async function dialForVisitor(
  target: Endpoint,
  spec: TargetDialSpec,
  clock: Clock,
  signal: AbortSignal,
  lookup = systemLookup,
): Promise<DeviceSocket> {
  // A server may open a thousand channels at once.
  const tick = fewPerTick();
  if (tick !== null) await tick;
  const socket = await connectHere(target, spec, clock, lookup);
  if (signal.aborted) socket?.destroy();
  signal.throwIfAborted();
  return socket ?? (await dialTarget(target, spec, clock, signal, lookup));
}

/** Null for a target elsewhere, and for one that does not answer. */
async function connectHere(
  target: Endpoint,
  spec: TargetDialSpec,
  clock: Clock,
  lookup: Lookup,
): Promise<DeviceSocket | null> {
  if (target.type === 'unix') return null;
  const { host, port } = target;
  const family = familyOf(spec);
  const known = isIP(host) === 0 ? recent.of(lookup, nameOf(host, family), clock.now()) : [host];
  const [address] =
    known === null || !fitsFamily(host, family) ? [] : known.length > 1 ? hosts.ordered(host, known) : known;
  return address !== undefined && isLoopback(address) ? await connectNative(address, port, clock) : null;
}

/** 127.0.0.0/8 and ::1. */
function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function nameOf(host: string, family: 0 | 4 | 6): string {
  return `${family} ${host}`;
}

async function open(
  target: Endpoint,
  spec: TargetDialSpec,
  clock: Clock,
  signal: AbortSignal,
  lookup: Lookup,
): Promise<Socket> {
  const { connectTimeoutMs: timeoutMs, addressFamily } = spec;
  if (target.type === 'unix')
    return await openSocket({ path: target.path, allowHalfOpen: true, reads: 'shared' }, timeoutMs, clock, signal);
  const { host, port } = target;
  const family = familyOf(spec);
  if (!fitsFamily(host, family)) throw new Error(`it is not allowed by addressFamily: ${addressFamily}`);
  const openAt = (address: string, within: AbortSignal) =>
    openSocket({ host: address, port, noDelay: true, allowHalfOpen: true, reads: 'shared' }, timeoutMs, clock, within);
  if (isIP(host) !== 0) return await openAt(host, signal);
  const race = childController(signal);
  const tooLate = new TimeoutError(`did not answer within ${Math.round(timeoutMs / 1000)} s`);
  const cancel = clock.timer(timeoutMs, () => race.abort(tooLate));
  const first = (all: readonly ((within: AbortSignal) => Promise<Socket>)[], within: AbortSignal) =>
    firstToSucceed<Socket>(all, { clock, delayMs: hosts.patience(host), discard: resetSocket }, within);
  const tries = (addresses: readonly string[]) =>
    hosts.ordered(host, addresses).map((address) => async (within: AbortSignal) => {
      const started = clock.now();
      const socket = await openAt(address, within);
      hosts.answered(host, address, clock.now() - started);
      return socket;
    });
  const name = nameOf(host, family);
  const openByName = async (within: AbortSignal) => {
    const found = await abortable(lookup(host, family), within);
    const addresses = [...new Set(found.map(({ address }) => address))];
    const socket = await first(tries(addresses), within);
    recent.answered(lookup, name, addresses, clock.now());
    return socket;
  };
  try {
    const known = recent.of(lookup, name, clock.now());
    if (known === null) return await openByName(race.signal);
    // The name may lead elsewhere since.
    return await first([...tries(known), openByName], race.signal);
  } catch (error) {
    throw mostTelling(errorsOf(error));
  } finally {
    cancel();
    race.dispose();
  }
}

/** The address at which each target answered last. */
const hosts = createHostMemory();
const recent = createRecentAddresses();

function errorsOf(error: unknown): readonly unknown[] {
  return error instanceof AggregateError ? error.errors.flatMap(errorsOf) : [error];
}

/** A refusal shows that the machine is there; an error of a family without a route shows nothing. */
function mostTelling(errors: readonly unknown[]): unknown {
  return errors.find((error) => errorCode(error) === 'ECONNREFUSED') ?? errors[0];
}

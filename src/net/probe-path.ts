import { isIPv6 } from 'node:net';
import { abortable } from '../lib/async/abort.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import type { SocketAddresses } from './device.ts';
import { sourceOf, translate, type DialSpec } from './dial.ts';
import { type Binding, localAddress } from './local-address.ts';
import { openSocket } from './open-socket.ts';
import { formatAddress } from '../model/endpoint.ts';
import { TunnelFailure } from '../model/failure.ts';
import type { ConnectLimit } from '../model/spec.ts';
import { resetSocket } from './streams/reset-socket.ts';
import type { NetworkPath, TurnRequest, Turns } from './pacing/turns.ts';
import { firstToEnd } from '../lib/async/scope.ts';

/**
 * Resolves as soon as a new TCP connection to the address of this one is answered, if only by a refusal: a connection
 * of this probe, which is closed at once, or any other of the process. Tries until then; rejects only with the signal's
 * reason.
 */
export async function probePath(
  { remoteAddress, remotePort }: SocketAddresses,
  spec: Binding & Pick<DialSpec, 'connectLimit'>,
  { clock, turns }: ProbeDeps,
  signal: AbortSignal,
): Promise<void> {
  const deps = { clock, turns };
  const path = { address: remoteAddress, port: remotePort, source: sourceOf(spec) };
  const request = probeRequest(spec.connectLimit, clock);
  await firstToEnd(signal, [
    (own) => turns.untilAnswered(path, own),
    (own) => tryUntilAnswered((patience) => probeAddress(path, spec, request, patience, deps, own), clock, own),
  ]);
}

/**
 * Opens a connection to this address in its turn, and closes it at once. Rejects with a TunnelFailure, where it is refused
 * too, or with the signal's reason.
 */
export async function probeAddress(
  path: NetworkPath,
  binding: Binding,
  request: TurnRequest,
  timeoutMs: number,
  { clock, turns }: ProbeDeps,
  signal: AbortSignal,
): Promise<void> {
  const { address: host, port } = path;
  const turn = await turns.take(path, request, signal);
  try {
    const from = localAddress(binding, isIPv6(host) ? 6 : 4);
    const options = { host, port, ...(from === null ? {} : { localAddress: from }) };
    resetSocket(await openSocket(options, timeoutMs, clock, signal));
    turn.opened();
  } catch (error) {
    signal.throwIfAborted();
    const at = formatAddress({ host, port });
    throw turn.failed(error instanceof TunnelFailure ? error : translate(error, at));
  } finally {
    turn.end();
  }
}

interface ProbeDeps {
  readonly clock: Clock;
  readonly turns: Turns;
}

/** A connection that only sees whether the server answers. */
export function probeRequest(limit: ConnectLimit | null, clock: Clock): TurnRequest {
  return { purpose: 'probe', loginHistory: 'proven', urgent: false, since: clock.now(), limit };
}

/** Tries, each time with more milliseconds of patience, until it succeeds; rejects only with the signal's reason. */
export async function tryUntilAnswered<T>(
  attempt: (patienceMs: number) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  for (let patience = 1500; ; patience = Math.min(patience * 1.5, 10_000)) {
    const started = clock.now();
    try {
      return await abortable(attempt(patience), signal);
    } catch {
      signal.throwIfAborted();
      if (clock.now() - started < 1000) await sleep(clock, 1000, signal);
    }
  }
}

import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import { dial, type DialSpec } from './dial.ts';
import { asFailure, TunnelFailure, type FailureCode } from './failure.ts';
import { waitForNetwork } from './gate.ts';
import { systemLookup } from './lookup.ts';
import type { SourcePorts } from './source-ports.ts';
import type { ServerSpec } from './spec.ts';

export interface ReachDeps {
  readonly clock: Clock;
  readonly random: () => number;
  /** True when one of the hint addresses answers a ping; null when there are none to ask. */
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** Where to dial from, or null for any port. */
  readonly ports: SourcePorts | null;
  heartbeat(withinMs: number): void;
  /** The network is missing: said once, before the wait for it. */
  onNetworkDown(failure: TunnelFailure): void;
}

/**
 * A TCP connection to the server. The server is tried first, so that a network that is there costs no time; only when nothing on
 * the path answers, and no ping either, this waits for the network for as long as it takes. Rejects with what dial() says.
 */
export async function reachServer(
  spec: DialSpec & Pick<ServerSpec, 'connectTimeoutMs'>,
  deps: ReachDeps,
  signal: AbortSignal,
): Promise<{ readonly socket: Socket; readonly leftMs: number }> {
  const { clock, ports } = deps;
  const started = clock.now();
  const budget = spec.connectTimeoutMs;
  const dialFromOurPort = async (timeoutMs: number, within: AbortSignal) => {
    const socket = await dial(spec, timeoutMs, clock, within, systemLookup, ports);
    // Remembered before anything is said: from now on the server may hold it, whatever becomes of us.
    if (ports !== null && socket.localPort !== undefined) ports.used(socket.localPort);
    return socket;
  };
  const dialWithin = async () => {
    const from = clock.now();
    deps.heartbeat(budget + SLACK_MS);
    const socket = await dialFromOurPort(budget, signal);
    return { socket, leftMs: Math.max(MIN_HANDSHAKE_MS, budget - (clock.now() - from)) };
  };
  try {
    return await dialWithin();
  } catch (error) {
    signal.throwIfAborted();
    const failure = asFailure(error);
    const { ping } = deps;
    if (ping === null || !PATH_FAILURES.includes(failure.code) || (await ping(signal))) throw failure;
    signal.throwIfAborted();
    deps.onNetworkDown(new TunnelFailure('network-down', `no ping is answered, and ${failure.message}`));
    const socket = await waitForNetwork(started, { ...deps, ping, dial: dialFromOurPort }, signal);
    return socket === null ? await dialWithin() : { socket, leftMs: budget };
  }
}

/** What a missing network looks like from here; a refusal comes from a server that was reached. */
const PATH_FAILURES: readonly FailureCode[] = ['dns-failed', 'connect-timeout', 'unreachable'];

/** A TCP connection won at the last moment is still worth a try. */
const MIN_HANDSHAKE_MS = 1000;
const SLACK_MS = 30_000;

import { dial, type DialDeps, type Dialled, type DialSpec } from '../net/dial.ts';
import { asFailure, TunnelFailure, type FailureCode } from '../model/failure.ts';
import { waitForNetwork } from './wait-for-network.ts';
import type { SourcePorts } from '../net/source-ports.ts';
import type { ServerSpec } from '../model/spec.ts';

export interface ReachDeps extends Pick<DialDeps, 'clock' | 'turns' | 'request' | 'behindProxy' | 'onWait' | 'onTurn'> {
  readonly random: () => number;
  /** Resolves with whether one of the hint addresses answers a ping; null when there are none. */
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** The local ports to dial from, or null for any port. */
  readonly ports: SourcePorts | null;
  heartbeat(withinMs: number): void;
  /** The network is missing; called once, before the wait for it. */
  onNetworkDown(failure: TunnelFailure): void;
}

/**
 * A TCP connection to the server. The server is dialled first, so that a network that works costs no time; only when nothing on the path
 * answers, and no ping either, this waits for the network, without limit. Rejects with the failure of dial().
 */
export async function reachServer(
  spec: DialSpec & Pick<ServerSpec, 'connectTimeoutMs'>,
  deps: ReachDeps,
  signal: AbortSignal,
): Promise<Dialled> {
  const { clock, ports } = deps;
  const started = clock.now();
  const timeoutMs = spec.connectTimeoutMs;
  const waiting = (at: number) => {
    deps.heartbeat(timeoutMs + SLACK_MS);
    deps.onWait?.(at);
  };
  const dialFromOurPort = async (leftMs: number, own: AbortSignal) => {
    const dialled = await dial(spec, leftMs, { ...deps, onWait: waiting }, own);
    const { localPort } = dialled.socket;
    // Remembered before anything is sent: from now on the server may hold this connection, even if this process dies.
    if (ports !== null && localPort !== undefined) ports.used(localPort);
    return dialled;
  };
  const dialWithin = () => {
    deps.heartbeat(timeoutMs + SLACK_MS);
    return dialFromOurPort(timeoutMs, signal);
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
    const dialled = await waitForNetwork(started, { ...deps, ping, dial: dialFromOurPort }, signal);
    return dialled === null ? await dialWithin() : { ...dialled, leftMs: timeoutMs };
  }
}

/** The failures of a missing network; a refusal comes from a server that was reached. */
const PATH_FAILURES: readonly FailureCode[] = ['dns-failed', 'connect-timeout', 'unreachable'];

const SLACK_MS = 30_000;

import { dial, type DialDeps, type Dialled, type DialSpec } from '../net/dial.ts';
import { asFailure, TunnelFailure, type FailureCode } from '../model/failure.ts';
import { waitForNetwork } from './wait-for-network.ts';
import type { SourcePorts } from '../net/source-ports.ts';
import type { ServerSpec } from '../model/spec.ts';

export interface ReachDeps extends Pick<DialDeps, 'clock' | 'turns' | 'request' | 'behindProxy' | 'onWait' | 'onTurn'> {
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
): Promise<Dialled> {
  const { clock, ports } = deps;
  const started = clock.now();
  const budget = spec.connectTimeoutMs;
  const waiting = (at: number) => {
    deps.heartbeat(budget + SLACK_MS);
    deps.onWait?.(at);
  };
  const dialFromOurPort = async (timeoutMs: number, within: AbortSignal) => {
    const dialled = await dial(spec, timeoutMs, { ...deps, onWait: waiting }, within);
    const { localPort } = dialled.socket;
    // Remembered before anything is said: from now on the server may hold it, whatever becomes of us.
    if (ports !== null && localPort !== undefined) ports.used(localPort);
    return dialled;
  };
  const dialWithin = () => {
    deps.heartbeat(budget + SLACK_MS);
    return dialFromOurPort(budget, signal);
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
    return dialled === null ? await dialWithin() : { ...dialled, leftMs: budget };
  }
}

/** What a missing network looks like from here; a refusal comes from a server that was reached. */
const PATH_FAILURES: readonly FailureCode[] = ['dns-failed', 'connect-timeout', 'unreachable'];

const SLACK_MS = 30_000;

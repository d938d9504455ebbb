import { dial, type Dialled } from '../net/dial.ts';
import { firstHop } from '../net/first-hop.ts';
import { asFailure, TunnelFailure, type FailureCode } from '../model/failure.ts';
import { dialDeps, type Tunnel } from './tunnel-context.ts';
import { waitForNetwork } from './wait-for-network.ts';

/**
 * A TCP connection to the server. The server is dialled first, so that a network that works costs no time; only when nothing on the path
 * answers, and no ping either, this waits for the network, without limit. Rejects with the failure of dial().
 */
export async function reachServer(tunnel: Tunnel, signal: AbortSignal): Promise<Dialled> {
  const { clock, random, heartbeat, ping, store } = tunnel.deps;
  const { ports } = tunnel.memory;
  const started = clock.now();
  const first = firstHop(tunnel.spec);
  const timeoutMs = first.connectTimeoutMs;
  const turnDeps = dialDeps(tunnel);
  const onWait = (at: number) => {
    heartbeat(timeoutMs + SLACK_MS);
    turnDeps.onWait(at);
  };
  const dialFromOurPort = async (leftMs: number, own: AbortSignal) => {
    const dialled = await dial(first, leftMs, { ...turnDeps, ports, onWait }, own);
    const { localPort } = dialled.socket;
    // Remembered before anything is sent: from now on the server may hold this connection, even if this process dies.
    if (localPort !== undefined) ports?.used(localPort);
    return dialled;
  };
  const dialWithin = () => {
    heartbeat(timeoutMs + SLACK_MS);
    return dialFromOurPort(timeoutMs, signal);
  };
  try {
    return await dialWithin();
  } catch (error) {
    signal.throwIfAborted();
    const failure = asFailure(error);
    if (ping === null || !PATH_FAILURES.includes(failure.code) || (await ping(signal))) throw failure;
    signal.throwIfAborted();
    const down = new TunnelFailure('network-down', `no ping is answered, and ${failure.message}`);
    tunnel.failures.log(down);
    store.dispatch({ type: 'no-network', failure: down });
    const dialled = await waitForNetwork(started, { clock, random, ping, heartbeat, dial: dialFromOurPort }, signal);
    return dialled === null ? await dialWithin() : { ...dialled, leftMs: timeoutMs };
  }
}

/** The failures of a missing network; a refusal comes from a server that was reached. */
const PATH_FAILURES: readonly FailureCode[] = ['dns-failed', 'connect-timeout', 'unreachable'];

const SLACK_MS = 30_000;

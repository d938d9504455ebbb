import { turnRequest, type DialDeps, type DialSpec, LOOKUP_AGAIN_MS, NO_TURN } from './dial.ts';
import type { NetworkPath, Turn } from './pacing/turns.ts';
import { deadline } from '../lib/async/deadline.ts';

/**
 * Takes the turn of a proxyCommand, which opens its connection itself. Where it connects to, and whether it does, shows
 * only in its result: so the turn counts as opened at once. Tunnels with the same command share one path, and so each
 * other's results. Rejects as Turns.take() does.
 */
export async function takeCommandTurn(
  command: string,
  spec: DialSpec,
  deps: Pick<DialDeps, 'clock' | 'turns' | 'request' | 'onWait' | 'onTurn'> & { heartbeat(withinMs: number): void },
  signal: AbortSignal,
): Promise<Turn> {
  const { clock, turns } = deps;
  const path: NetworkPath = { address: spec.host, port: spec.port, source: null, behindProxy: command };
  const request = turnRequest(spec, deps);
  for (;;) {
    deps.heartbeat(LOOKUP_AGAIN_MS + SLACK_MS);
    const at = turns.nextAt(path, request);
    if (at > clock.now()) deps.onWait?.(at);
    try {
      const take = async (own: AbortSignal) => {
        const granted = await turns.take(path, request, own, deps.onWait);
        if (own.aborted) granted.end();
        return granted;
      };
      const turn = await deadline(clock, LOOKUP_AGAIN_MS, () => NO_TURN, take, signal);
      deps.onTurn?.();
      turn.opened();
      return turn;
    } catch (error) {
      if (error !== NO_TURN) throw error;
    }
  }
}

const SLACK_MS = 30_000;

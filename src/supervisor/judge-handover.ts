import type { TunnelSpec } from '../model/spec.ts';
import type { TunnelState } from '../model/state.ts';
import { conflicting } from './conflicts.ts';

/**
 * What becomes of the handover to a tunnel. It is complete when the tunnel is up with every listener of its predecessors, and its
 * connection is not in doubt: one that is silent may be dead. It starts once in a session, when a listener is refused, and is cancelled
 * when the session ends.
 */
export function judgeHandover(
  spec: TunnelSpec,
  { phase, forwards, silentSince }: Pick<TunnelState, 'phase' | 'forwards' | 'silentSince'>,
  previous: readonly { readonly spec: TunnelSpec }[],
  tried: boolean,
): 'complete' | 'cancel' | 'start' | 'wait' {
  if (phase !== 'forwarding' && phase !== 'up') return 'cancel';
  const replaced = previous.flatMap((old) => conflicting(spec, old.spec, 'any'));
  const hasAll = phase === 'up' && replaced.every((index) => forwards[index]?.state === 'up');
  if (hasAll) return silentSince === null ? 'complete' : 'wait';
  return !tried && forwards.some(({ state }) => state === 'refused') ? 'start' : 'wait';
}

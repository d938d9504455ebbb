import type { TunnelStatus } from '../supervisor/status.ts';
import type { Known } from './examine-tunnel.ts';

/** What the status of a tunnel that is up says about the steps that a login would show; null for one that is not up. */
export function knownOf(tunnel: TunnelStatus): readonly Known[] | null {
  if (tunnel.phase !== 'up') return null;
  const rtt = tunnel.rttMs === undefined ? '' : `, ${tunnel.rttMs} ms away`;
  return [
    ['banner', 'ok', `the daemon is connected to ${tunnel.server}${rtt}`],
    ['algorithms', 'ok', 'agreed on'],
    ['host key', 'ok', 'the daemon has accepted it'],
    ['authentication', 'ok', 'the daemon is logged in'],
    ...tunnel.forwards.flatMap((forward): Known[] => {
      if (forward.state !== 'up') {
        const why = tunnel.failure?.message ?? 'the server refuses it';
        return [['forward', 'fail', `${forward.listen}: ${why}`, tunnel.failure?.hint ?? 'See `tunneld logs`.']];
      }
      const seen: Known = ['forward', 'ok', `${forward.listen} listens`];
      if (forward.kind !== 'remote') return [seen];
      const trip: Known =
        forward.verified === 'yes'
          ? ['round trip', 'ok', `what is sent to ${forward.listen} comes out here`]
          : ['round trip', 'warn', `${forward.listen}: ${forward.unverified ?? 'not verified'}`];
      const target: Known =
        forward.targetFailure === undefined
          ? ['target', 'ok', `${forward.target} answers`]
          : ['target', 'fail', forward.targetFailure.message, forward.targetFailure.hint];
      return [seen, trip, target];
    }),
    sourcePort(tunnel),
  ];
}

/** A listener that stays in use although we came back from the port that should have freed it tells of a router that changes ports. */
function sourcePort({ sourcePort: port, forwards }: TunnelStatus): Known {
  if (port === undefined) return ['source port', 'ok', 'none of ours'];
  if (forwards.some(({ refusal }) => refusal === 'in-use')) {
    return [
      'source port',
      'warn',
      `${port}; a listener is in use: if that is a dead connection of ours, a router on the way changes source ports`,
      'On the server: ClientAliveInterval 15 and ClientAliveCountMax 3 (`tunneld server-setup` sets them).',
    ];
  }
  return ['source port', 'ok', `${port}; no dead connection of ours is in the way`];
}

import type { ForwardStatus, TunnelStatus } from '../status/document.ts';
import { certificateText } from '../model/host-certificate.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { EXPOSED } from '../model/state.ts';
import type { DaemonStep, StepResult, SourcePortFacts } from './types.ts';
import { algorithmsStep } from './key-exchange.ts';
import { EXPOSED_CURE } from './listener-steps.ts';
import { sourcePortStep } from './source-port.ts';
import { STEP_OF } from './check.ts';

/** The results of the steps of a login, from the daemon's status of a tunnel. */
export function stepsFromStatus(
  tunnel: TunnelStatus,
  spec: Pick<TunnelSpec, 'sourcePort' | 'entry' | 'kexAlgorithms'>,
  sourcePort: SourcePortFacts,
): readonly DaemonStep[] {
  const { phase, failure } = tunnel;
  if (phase !== 'up' && phase !== 'forwarding') {
    if (failure === undefined) return [['banner', 'skip', `the daemon has not tried yet (${phase})`]];
    return [[STEP_OF[failure.code], 'fail', `the daemon reports: ${failure.message}`, failure.hint]];
  }
  const rtt = tunnel.rttMs === undefined ? '' : `, ${tunnel.rttMs} ms away`;
  const silent: readonly StepResult[] =
    tunnel.silentSince === undefined
      ? []
      : [
          [
            'round trip',
            'warn',
            `the server has not answered since ${tunnel.silentSince}`,
            'The daemon checks the connection by itself; see `tunneld status`.',
          ],
        ];
  const inUse = tunnel.forwards.some(({ refusal }) => refusal === 'in-use');
  return [
    ['banner', 'ok', `the daemon is connected to ${tunnel.server}${rtt}`],
    algorithmsFromStatus(tunnel, spec),
    [
      'host key',
      'ok',
      `the daemon has accepted ${tunnel.hostCertificate === undefined ? 'it' : `its ${certificateText(tunnel.hostCertificate)}`}`,
    ],
    ['authentication', ...authenticationFrom(tunnel)],
    ...tunnel.forwards.flatMap((forward, index) => forwardSteps(forward, index, tunnel)),
    ...silent,
    sourcePortStep(spec, { ...sourcePort, port: tunnel.sourcePort ?? sourcePort.port }, inUse),
  ];
}

function authenticationFrom({ login, certificate }: TunnelStatus): LoginResult {
  return loginResult(`the daemon is logged in${login === undefined ? '' : `: ${login}`}`, certificate?.problem ?? null);
}

export type LoginResult = readonly ['ok' | 'warn', string, string?];

/** `problem` is that of the certificate of the login. */
export function loginResult(seen: string, problem: string | null): LoginResult {
  return problem === null ? ['ok', seen] : ['warn', `${seen}; ${problem}`, RENEW];
}

/** The connection itself stays up. */
const RENEW =
  'Have the authority make a new certificate under the same name: it is read at the next login, without a restart.';

/** A daemon of an older version reports no algorithms. */
function algorithmsFromStatus(
  { keyExchange, hostKeyAlgorithm }: TunnelStatus,
  spec: Pick<TunnelSpec, 'kexAlgorithms'>,
): StepResult {
  if (keyExchange === undefined) return ['algorithms', 'ok', 'the daemon has agreed with the server'];
  const seen = `the daemon uses ${[keyExchange, hostKeyAlgorithm].filter((name) => name !== undefined).join(', ')}`;
  return algorithmsStep(seen, keyExchange, '', spec);
}

function forwardSteps(
  forward: ForwardStatus,
  index: number,
  { failure, silentSince }: TunnelStatus,
): readonly DaemonStep[] {
  if (forward.state === 'pending') return [['forward', 'skip', `${forward.listen}: the server has not answered yet`]];
  if (forward.state === 'refused') {
    const why = failure?.message ?? 'the server refused it';
    return [['forward', 'fail', `${forward.listen}: ${why}`, failure?.hint ?? 'See `tunneld logs`.']];
  }
  const seen: StepResult = ['forward', 'ok', `${forward.listen} listens`];
  if (forward.kind !== 'remote') return [seen];
  if (forward.exposed === true)
    return [seen, ['round trip', 'warn', `${forward.listen}: ${EXPOSED}`, EXPOSED_CURE], targetStep(forward, index)];
  const trip: StepResult =
    forward.verified === 'yes' && silentSince === undefined
      ? ['round trip', 'ok', `what the server sends to ${forward.listen} comes out here`]
      : ['round trip', 'warn', `${forward.listen}: ${forward.unverified ?? 'not verified now'}`];
  return [seen, trip, targetStep(forward, index)];
}

function targetStep({ target, targetFailure, unverified }: ForwardStatus, index: number): DaemonStep {
  if (targetFailure !== undefined) return ['target', 'fail', targetFailure.message, targetFailure.hint];
  if (target === 'socks') return ['target', 'skip', 'each visitor names its own'];
  if (unverified === 'verify: off') return ['target', 'skip', `${target}: not checked (verify: off)`];
  return ['target', 'ok', `${target} answers`, undefined, index];
}

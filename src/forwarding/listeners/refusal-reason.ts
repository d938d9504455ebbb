import { forbidsForwards, type CertificateFacts } from '../../model/certificate.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { Refusal } from '../../model/state.ts';
import { inUseHint, inUseReason, type OtherProgram, SILENT, type VerifyResult } from '../verify/results.ts';
import type { Endpoint } from '../../model/endpoint.ts';

export interface RefusalReason {
  readonly refusal: Refusal;
  /** Empty where it is not known. */
  readonly reason: string;
  /** The program that was seen there. */
  readonly other?: OtherProgram;
  /** Whether it is most likely a dead connection of ours. */
  readonly ours?: boolean;
}

/**
 * Why a server refused this listener. The server gives no reason, but a connection to the listener shows it: where no program answers,
 * its rules forbid the listener; where one does, it is in use. `wasUp`: a dead connection of ours may hold it. `certificate` is that of the
 * login: one that allows no forwards is reason enough.
 */
export async function refusalReason(
  listen: Endpoint,
  wasUp: boolean,
  certificate: CertificateFacts | null,
  identify: (port: number) => Promise<VerifyResult>,
): Promise<RefusalReason> {
  const forbidden = forbidsForwards(certificate);
  if (forbidden !== null) return { refusal: 'forbidden', reason: forbidden };
  if (listen.type === 'unix') return { refusal: 'unknown', reason: LEFT_OVER };
  if (listen.port === 0) return { refusal: 'unknown', reason: '' };
  const result = await identify(listen.port);
  if (result.type === 'none')
    return { refusal: 'forbidden', reason: listen.port < 1024 ? FORBIDDEN_OR_ROOTS : FORBIDDEN };
  if (result.type !== 'other') return { refusal: 'unknown', reason: '' };
  const ours = wasUp && result.who === SILENT;
  return { refusal: 'in-use', reason: ours ? OURS : inUseReason(result.who), other: result, ours };
}

/** The failure to report for a refusal with this reason. */
export function refusalFailure(
  { code, message, cause }: TunnelFailure,
  { reason, other }: RefusalReason,
): TunnelFailure {
  const hint = other === undefined ? undefined : inUseHint(other);
  const text = reason === '' ? message : `${message}: ${reason}`;
  return new TunnelFailure(code, text, { cause, ...(hint === undefined ? {} : { hint }) });
}

const FORBIDDEN = 'nothing listens there, so its rules (AllowTcpForwarding, permitlisten, GatewayPorts) forbid it';

/** bind_permitted in OpenSSH's misc.c. */
const FORBIDDEN_OR_ROOTS =
  'nothing listens there, so its rules (AllowTcpForwarding, permitlisten, GatewayPorts) forbid it, or its sshd grants ports below 1024 to root only: choose a larger one';

const OURS =
  'something listens there, most likely a dead connection of this tunnel; it ends when the server notices that (ClientAliveInterval)';

const LEFT_OVER =
  'the file may be left over from a dead connection, which StreamLocalBindUnlink yes on the server would replace';

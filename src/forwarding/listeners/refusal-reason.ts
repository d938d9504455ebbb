import type { Refusal } from '../../model/state.ts';
import { type Answerer, inUseReason, type Other, SILENT } from '../verify/sights.ts';
import type { Endpoint } from '../../model/spec.ts';

export interface RefusalReason {
  readonly refusal: Refusal;
  /** Empty where it is not known. */
  readonly reason: string;
  /** Who has it, where somebody was seen. */
  readonly other?: Other;
}

/**
 * Why a server refused this listener. It gives no reason, but who answers there tells: nobody, so the rules are in the way; or
 * somebody, so it is in use. `wasUp` says that a dead connection of ours may hold it.
 */
export async function refusalReason(
  listen: Endpoint,
  wasUp: boolean,
  watch: (port: number) => Promise<Answerer>,
): Promise<RefusalReason> {
  if (listen.type === 'unix') return { refusal: 'unknown', reason: LEFT_OVER };
  if (listen.port === 0) return { refusal: 'unknown', reason: '' };
  const answerer = await watch(listen.port);
  if (answerer.type === 'nobody')
    return { refusal: 'forbidden', reason: listen.port < 1024 ? FORBIDDEN_OR_ROOTS : FORBIDDEN };
  if (answerer.type !== 'other') return { refusal: 'unknown', reason: '' };
  const reason = wasUp && answerer.who === SILENT ? OURS : inUseReason(answerer.who);
  return { refusal: 'in-use', reason, other: answerer };
}

const FORBIDDEN = 'nothing listens there, so its rules (AllowTcpForwarding, permitlisten, GatewayPorts) forbid it';

/** bind_permitted in OpenSSH's misc.c. */
const FORBIDDEN_OR_ROOTS =
  'nothing listens there, so its rules (AllowTcpForwarding, permitlisten, GatewayPorts) forbid it, or that sshd gives ports below 1024 to root alone: choose a larger one';

const OURS =
  'something listens there, most likely a dead connection of ours; it goes when the server notices that (ClientAliveInterval)';

/** Whether this is what is said where a dead connection of ours is most likely in the way. */
export function blamesUs({ message }: { readonly message: string }): boolean {
  return message.endsWith(OURS);
}

const LEFT_OVER =
  'the file may be left over from a dead connection, which StreamLocalBindUnlink yes on the server would replace';

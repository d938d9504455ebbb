import type { FailureCode } from '../../model/failure.ts';

/** What a connection shows of its server; the pace of the next ones follows from it. */
export type ConnectionEvent =
  /** The connection was accepted; sshd has not spoken yet. */
  | 'opened'
  /** The machine answered that the port is closed. */
  | 'refused'
  /** A firewall answered in its place (ICMP instead of a reset). */
  | 'barred'
  | 'unanswered'
  /** No packet was sent, or there was no route. */
  | 'unsent'
  /** The connection was accepted, and ended before the server identified itself. */
  | 'dropped'
  | 'accepted'
  | 'rejected'
  /** The connection ended in another way before a login. */
  | 'left'
  /** The connection was logged in and has ended. */
  | 'ended';

/**
 * The event of a connection that did not open. `refusals` are the numbers of ICMP messages before and after, or null.
 */
export function eventOfDial(
  code: FailureCode,
  refusalsBefore: number | null,
  refusals: number | null,
): ConnectionEvent {
  // A machine answers for a closed port with a reset, a firewall usually with ICMP (iptables-extensions(8), REJECT).
  if (code === 'connect-refused')
    return refusals !== null && refusalsBefore !== null && refusals > refusalsBefore ? 'barred' : 'refused';
  if (code === 'connect-timeout') return 'unanswered';
  // A proxy speaks for the server behind it.
  return code === 'proxy-failed' ? 'refused' : 'unsent';
}

/** The event of a connection that opened, and ended before its login. */
export function eventOfLogin(code: FailureCode): ConnectionEvent {
  if (code === 'auth-rejected') return 'rejected';
  return code === 'handshake-failed' ? 'dropped' : 'left';
}

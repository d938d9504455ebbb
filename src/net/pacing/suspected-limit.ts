import { type FailureCode, TunnelFailure } from '../../model/failure.ts';
import type { ConnectionEvent } from './pace.ts';

/**
 * The event of a connection that did not open. `refusals` are the numbers of ICMP messages before and after, or null.
 */
export function eventOf(code: FailureCode, refusalsBefore: number | null, refusals: number | null): ConnectionEvent {
  // A machine answers for a closed port with a reset, a firewall usually with ICMP (iptables-extensions(8), REJECT).
  if (code === 'connect-refused')
    return refusals !== null && refusalsBefore !== null && refusals > refusalsBefore ? 'barred' : 'refused';
  if (code === 'connect-timeout') return 'unanswered';
  // A proxy speaks for the server behind it.
  return code === 'proxy-failed' ? 'refused' : 'unsent';
}

/** The same failure, with the limit that most likely caused it. */
export function withSuspectedLimit(failure: TunnelFailure, event: ConnectionEvent): TunnelFailure {
  const seen =
    event === 'barred' ? 'a firewall refused it' : 'others were accepted just before, so this is most likely a limit';
  return new TunnelFailure(failure.code, `${failure.message}; ${seen}`, { cause: failure, hint: HINT });
}

const HINT =
  'A limit on new connections is suspected (`ufw limit`, iptables recent or hashlimit, a ban by fail2ban). The tunnel connects when the limit allows it; set connectLimit to a limit that you know, or exempt this device on the server.';

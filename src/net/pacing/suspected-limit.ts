import { TunnelFailure } from '../../model/failure.ts';
import type { ConnectionEvent } from './connection-event.ts';

/** The same failure, with the limit that most likely caused it. */
export function withSuspectedLimit(failure: TunnelFailure, event: ConnectionEvent): TunnelFailure {
  const seen =
    event === 'barred' ? 'a firewall refused it' : 'others were accepted just before, so this is most likely a limit';
  return new TunnelFailure(failure.code, `${failure.message}; ${seen}`, { cause: failure, hint: HINT });
}

const HINT =
  'A limit on new connections is suspected (`ufw limit`, iptables recent or hashlimit, a ban by fail2ban). The tunnel connects when the limit allows it; set connectLimit to a limit that you know, or exempt this device on the server.';

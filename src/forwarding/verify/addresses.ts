import { isIP, isIPv6 } from 'node:net';
import { WILDCARD_PROBE_HOST, type Endpoint, isLoopbackListener, isLoopbackAddress } from '../../model/endpoint.ts';

/** Where a listener takes connections on the server, as the server can be asked to connect there. */
export interface ListenerAddresses {
  /** Those of the listener as it was requested: each of them that listens is to lead here. */
  readonly requested: readonly Endpoint[];
  /** Where sshd listens instead, without saying so, with GatewayPorts no (channel_fwd_bind_addr in OpenSSH's channels.c). */
  readonly instead: readonly Endpoint[];
  /** The name of the loopback addresses, for rules of a server (permitopen) that allow the name but not the address. */
  readonly name: Endpoint | null;
  /** Where this address leads here, the listener is open to all though it was requested on loopback (GatewayPorts yes). */
  readonly beyond: Endpoint | null;
}

/** `port` is the one that the server chose, where it chose one. */
export function addressesOf(listen: Endpoint, port: number): ListenerAddresses {
  if (listen.type === 'unix') return { requested: [listen], instead: [], name: null, beyond: null };
  const at = (...hosts: readonly string[]) => hosts.map((host): Endpoint => ({ type: 'tcp', host, port }));
  const [name = null, beyond = null] = at('localhost', WILDCARD_PROBE_HOST);
  switch (listen.host.toLowerCase()) {
    case 'localhost':
      return { requested: at('127.0.0.1', '::1'), instead: [], name, beyond };
    case '':
    case '*':
      return { requested: at('127.0.0.1', '::1'), instead: [], name, beyond: null };
    case '127.0.0.1':
      return { requested: at(listen.host), instead: [], name: null, beyond };
    case '::1':
      return { requested: at(listen.host), instead: [], name: null, beyond: null };
    case '0.0.0.0':
      return { requested: at('127.0.0.1'), instead: at('::1'), name, beyond: null };
    case '::':
      return { requested: at('::1'), instead: at('127.0.0.1'), name, beyond: null };
    default:
      return { requested: at(listen.host), instead: at('127.0.0.1', '::1'), name, beyond: null };
  }
}

/**
 * Whether a visitor with this originator (`ADDRESS:PORT`) can be a connection that the server opened to this address: both are of one
 * family, and a loopback address is reached from one. A program that relays what it gets at the other address fails this.
 */
export function comesFrom(originator: string, address: Endpoint): boolean {
  if (address.type === 'unix') return true;
  const source = addressOf(originator).replace(/^::ffff:(?=\d+\.)/i, '');
  const fourth = isIP(source) === 4;
  if (isLoopbackListener(address)) {
    return isLoopbackAddress(source) && (address.host === 'localhost' || isIPv6(address.host) !== fourth);
  }
  return isIP(address.host) === 0 || isIPv6(address.host) !== fourth;
}

/** The address of an originator, `ADDRESS:PORT`. */
export function addressOf(originator: string): string {
  return originator.replace(/:\d*$/, '');
}

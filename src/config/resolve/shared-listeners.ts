import { type Endpoint, formatEndpoint, sameEndpoint, bindAddresses } from '../../model/endpoint.ts';
import { tunnelOf } from '../../model/redundancy.ts';
import { serverKey } from '../../model/server-key.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { Path, Report } from '../schema/mapping.ts';

/** A tunnel as it was read; the server of a `flawed` one may be unknown. */
interface TunnelForwards {
  readonly spec: Pick<TunnelSpec, 'name' | 'host' | 'port' | 'user' | 'jumps' | 'entry' | 'forwards'>;
  readonly flawed: boolean;
}

/**
 * Reports every forward that asks for the same listener as an earlier one, because only one can get it. For different users of a
 * server, or different spellings of the address, it is a conflict only: one of them may work, and must not be rejected with the other.
 */
export function reportSharedListeners(
  tunnels: readonly TunnelForwards[],
  report: Report,
  conflict: Report,
  locationOf: (path: Path) => string,
): void {
  // Only listeners with the same port, or the same socket, can overlap.
  const taken = new Map<string, Taken[]>();
  for (const { spec, flawed } of tunnels) {
    const seen = { remote: 0, local: 0, dynamic: 0 };
    for (const { kind, listen } of spec.forwards) {
      const path = ['tunnels', tunnelOf(spec.name), `${kind}Forward`, seen[kind]++];
      // The server of a flawed tunnel may be unknown: it is compared with itself only.
      const where = kind !== 'remote' ? 'this device' : flawed ? spec.name : serverKey(spec);
      const port = `${where} ${listen.type === 'unix' ? listen.path : listen.port}`;
      const others = taken.get(port) ?? [];
      const first = others.find((other) => clash(other.listen, listen));
      if (first === undefined) {
        taken.set(port, [...others, { tunnel: spec.name, user: spec.user, path, listen }]);
        continue;
      }
      const sameUser = first.user === spec.user;
      const server =
        kind !== 'remote' ? '' : sameUser ? ', for the same user of the same server' : ', at the same server';
      const whose = first.tunnel === spec.name ? '' : ` of tunnel ${first.tunnel}${server}`;
      const text = `listens on ${formatEndpoint(listen)}, the same listener as ${locationOf(first.path)}${whose}`;
      if (kind !== 'remote' || (sameUser && sameText(first.listen, listen))) report(path, text);
      else conflict(path, `${text}: only one of them can get it`);
    }
  }
}

interface Taken {
  readonly tunnel: string;
  readonly user: string;
  readonly path: Path;
  readonly listen: Endpoint;
}

/** Port 0 never overlaps: the server chooses a different one each time. */
function clash(a: Endpoint, b: Endpoint): boolean {
  if (sameText(a, b)) return true;
  if (a.type === 'unix' || b.type === 'unix' || a.port !== b.port || a.port === 0) return false;
  return bindAddresses(a.host).some((address) => overlaps(address, bindAddresses(b.host)));
}

function sameText(a: Endpoint, b: Endpoint): boolean {
  return sameEndpoint(a, b) && (a.type === 'unix' || a.port !== 0);
}

function overlaps(address: string, others: readonly string[]): boolean {
  const all = address.includes(':') ? '::' : '0.0.0.0';
  return others.some(
    (other) => other === address || other === all || (address === all && other.includes(':') === all.includes(':')),
  );
}

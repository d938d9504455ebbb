import { type Endpoint, formatEndpoint, sameEndpoint, bindAddresses } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { Path, Report } from '../schema/mapping.ts';

/** A tunnel as it was read; where `flawed`, its server may not be known. */
interface TunnelForwards {
  readonly spec: Pick<TunnelSpec, 'name' | 'host' | 'port' | 'user' | 'forwards'>;
  readonly flawed: boolean;
}

/**
 * Reports every forward that wants a listener which another forward wants already: only one could get it. Where they log in to a server as
 * different users, or write its address differently, it is a conflict: one of them works, and is not to be lost for the other's sake.
 */
export function reportSharedListeners(
  tunnels: readonly TunnelForwards[],
  report: Report,
  conflict: Report,
  locationOf: (path: Path) => string,
): void {
  // Only what has the same port, or is the same socket, can be at odds.
  const taken = new Map<string, Taken[]>();
  for (const { spec, flawed } of tunnels) {
    const seen = { remote: 0, local: 0, dynamic: 0 };
    for (const { kind, listen } of spec.forwards) {
      const path = ['tunnels', spec.name, `${kind}Forward`, seen[kind]++];
      // Of a tunnel with mistakes we may not know the server; it is still at odds with itself.
      const where = kind !== 'remote' ? 'this device' : flawed ? spec.name : serverOf(spec);
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
      const text = `listens on ${formatEndpoint(listen)}, and so does ${locationOf(first.path)}${whose}`;
      if (kind !== 'remote' || (sameUser && sameText(first.listen, listen))) report(path, text);
      else conflict(path, `${text}: only one of them can have it`);
    }
  }
}

interface Taken {
  readonly tunnel: string;
  readonly user: string;
  readonly path: Path;
  readonly listen: Endpoint;
}

/** Of port 0 the server makes a different one each time. */
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

function serverOf(spec: TunnelForwards['spec']): string {
  return JSON.stringify([spec.host.toLowerCase(), spec.port]);
}

import { type Endpoint, formatEndpoint, type ForwardSpec, type TunnelSpec } from '../tunnel/spec.ts';
import type { Path, Report } from './mapping.ts';

/** A tunnel as it was read; where `flawed`, its server may not be known. */
interface Wanting {
  readonly spec: Pick<TunnelSpec, 'name' | 'host' | 'port' | 'user' | 'forwards'>;
  readonly flawed: boolean;
}

/** Reports every forward that wants a listener which another forward wants already: only one could get it. */
export function reportSharedListeners(
  tunnels: readonly Wanting[],
  report: Report,
  placeOf: (path: Path) => string,
): void {
  const taken: { readonly tunnel: string; readonly where: string; readonly path: Path; readonly listen: Endpoint }[] =
    [];
  for (const { spec, flawed } of tunnels) {
    const seen = { remote: 0, local: 0, dynamic: 0 };
    for (const { kind, listen } of spec.forwards) {
      const path = ['tunnels', spec.name, `${kind}Forward`, seen[kind]++];
      // Of a tunnel with mistakes we may not know the server; it is still at odds with itself.
      const where = kind !== 'remote' ? 'this device' : flawed ? spec.name : serverOf(spec);
      const first = taken.find((other) => other.where === where && clash(kind, other.listen, listen));
      if (first === undefined) {
        taken.push({ tunnel: spec.name, where, path, listen });
        continue;
      }
      const server = kind === 'remote' ? ', for the same user of the same server' : '';
      const whose = first.tunnel === spec.name ? '' : ` of tunnel ${first.tunnel}${server}`;
      report(path, `listens on ${formatEndpoint(listen)}, and so does ${placeOf(first.path)}${whose}`);
    }
  }
}

/** Of port 0 the server makes a different one each time. What a server makes of addresses is its own affair; here `*` is all. */
function clash(kind: ForwardSpec['kind'], a: Endpoint, b: Endpoint): boolean {
  if (a.type === 'unix' || b.type === 'unix') return a.type === b.type && formatEndpoint(a) === formatEndpoint(b);
  if (a.port !== b.port || a.port === 0) return false;
  if (a.host.toLowerCase() === b.host.toLowerCase()) return true;
  return kind !== 'remote' && addressesOf(a.host).some((address) => overlaps(address, addressesOf(b.host)));
}

function overlaps(address: string, others: readonly string[]): boolean {
  const all = address.includes(':') ? '::' : '0.0.0.0';
  return others.some(
    (other) => other === address || other === all || (address === all && other.includes(':') === all.includes(':')),
  );
}

function addressesOf(host: string): readonly string[] {
  if (host === 'localhost') return ['127.0.0.1', '::1'];
  return host === '' ? ['0.0.0.0', '::'] : [host];
}

function serverOf(spec: Wanting['spec']): string {
  return JSON.stringify([spec.host.toLowerCase(), spec.port, spec.user]);
}

import { type Endpoint, formatEndpoint, type TunnelSpec } from '../tunnel/spec.ts';
import type { Path, Report } from './mapping.ts';
import type { ReadTunnel } from './tunnels.ts';

/** Reports every forward that wants a listener which another forward wants already: only one could get it. */
export function reportSharedListeners(
  tunnels: readonly ReadTunnel[],
  report: Report,
  lineOf: (path: Path) => number,
): void {
  const taken = new Map<string, { tunnel: string; path: Path }>();
  for (const { spec, flawed } of tunnels) {
    const seen = { remote: 0, local: 0, dynamic: 0 };
    for (const forward of spec.forwards) {
      const path = ['tunnels', spec.name, `${forward.kind}Forward`, seen[forward.kind]++];
      const listener = listenerKey(forward.listen);
      if (listener === null) continue;
      // Of a tunnel with mistakes we may not know the server; it is still at odds with itself.
      const where = forward.kind !== 'remote' ? 'this device' : flawed ? spec.name : serverOf(spec);
      const key = JSON.stringify([where, listener]);
      const first = taken.get(key);
      if (first === undefined) {
        taken.set(key, { tunnel: spec.name, path });
        continue;
      }
      const server = forward.kind === 'remote' ? ', for the same user of the same server' : '';
      const whose = first.tunnel === spec.name ? '' : ` of tunnel ${first.tunnel}${server}`;
      report(path, `listens on ${formatEndpoint(forward.listen)}, and so does line ${lineOf(first.path)}${whose}`);
    }
  }
}

/** Null for port 0, of which the server makes a different one each time. */
function listenerKey(listen: Endpoint): string | null {
  return listen.type === 'tcp' && listen.port === 0 ? null : formatEndpoint(listen).toLowerCase();
}

function serverOf(spec: TunnelSpec): readonly unknown[] {
  return [spec.host.toLowerCase(), spec.port, spec.user];
}

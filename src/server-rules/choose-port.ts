import { UserError } from '../lib/user-error.ts';
import { isWildcardHost } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';

/**
 * The listener through which users reach the device, as seen from the server, and its target: the first listener with a target on port 22,
 * else the first listener. Throws a UserError where there is none.
 */
export function choosePort({ name, forwards }: Pick<TunnelSpec, 'name' | 'forwards'>) {
  const remote = forwards.filter(({ kind }) => kind === 'remote');
  if (remote.length === 0) {
    throw new UserError(
      `the tunnel ${name} has no remoteForward, so that the server listens on no port for it: add one`,
    );
  }
  const ports = remote.flatMap(({ listen, target }) =>
    listen.type === 'tcp' && listen.port !== 0 && target.type === 'tcp' ? [{ listen, target }] : [],
  );
  const chosen = ports.find(({ target }) => target.port === 22) ?? ports[0];
  if (chosen === undefined) {
    throw new UserError(
      `the tunnel ${name} has no remoteForward that ssh can connect to: add one with a fixed port (not 0, no Unix socket) and a target with a port`,
    );
  }
  const { host, port } = chosen.listen;
  return { host: isWildcardHost(host) ? reachableHost(host) : host, port, target: chosen.target };
}

/** Whether choosePort() finds a port. */
export function hasPort(spec: Pick<TunnelSpec, 'name' | 'forwards'>): boolean {
  try {
    choosePort(spec);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/** Where a listener of all addresses is reached: `localhost` may have only addresses of the other family. */
function reachableHost(host: string): string {
  if (host === '::') return '::1';
  return host === '0.0.0.0' ? '127.0.0.1' : 'localhost';
}

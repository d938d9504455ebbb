import { UserError } from '../lib/user-error.ts';
import { isWildcardHost, type Endpoint } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';

/** The listener by which people reach the device, as seen on the server itself. */
export interface ChosenPort {
  readonly host: string;
  readonly port: number;
  readonly target: Extract<Endpoint, { type: 'tcp' }>;
}

/** The first listener that leads to an SSH server, which is told by its port, else the first of all. */
export function choosePort({ name, forwards }: Pick<TunnelSpec, 'name' | 'forwards'>): ChosenPort {
  const remote = forwards.filter(({ kind }) => kind === 'remote');
  if (remote.length === 0) {
    throw new UserError(`the tunnel ${name} has no remoteForward: the server listens on no port for it`);
  }
  const ports = remote.flatMap(({ listen, target }) =>
    listen.type === 'tcp' && listen.port !== 0 && target.type === 'tcp' ? [{ listen, target }] : [],
  );
  const chosen = ports.find(({ target }) => target.port === 22) ?? ports[0];
  if (chosen === undefined) {
    throw new UserError(
      `no remoteForward of the tunnel ${name} can be named to ssh: it needs a fixed port (not 0, no Unix socket) and a target with a port`,
    );
  }
  const { host, port } = chosen.listen;
  return { host: isWildcardHost(host) ? 'localhost' : host, port, target: chosen.target };
}

/** Whether people can be told a port by which they reach the device. */
export function hasPort(spec: Pick<TunnelSpec, 'name' | 'forwards'>): boolean {
  try {
    choosePort(spec);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

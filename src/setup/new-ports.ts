import { parseDocument } from 'yaml';
import { formatEndpoint } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { EditedValue } from './edit-config.ts';
import { forwardPort, withPort } from './via/forward-port.ts';

/** The server's fixed ports of a tunnel, in their order. */
export function fixedPorts({ forwards }: Pick<TunnelSpec, 'forwards'>): readonly number[] {
  return forwards.flatMap(({ kind, listen }) =>
    kind === 'remote' && listen.type === 'tcp' && listen.port !== 0 ? [listen.port] : [],
  );
}

/** The same tunnel with these ports of the server in the place of its fixed ones. */
export function withPorts(tunnel: TunnelSpec, ports: readonly number[]): TunnelSpec {
  const left = [...ports];
  return {
    ...tunnel,
    forwards: tunnel.forwards.map((forward) =>
      forward.kind === 'remote' && forward.listen.type === 'tcp' && forward.listen.port !== 0
        ? { ...forward, listen: { ...forward.listen, port: left.shift()! } }
        : forward,
    ),
  };
}

/**
 * The value of remoteForward with these ports, each forward spelled as the configuration spells it where that is possible. `tunnel` is
 * what withPorts() made.
 */
export function remoteForwardWith(text: string, tunnel: TunnelSpec): EditedValue {
  const raw = (parseDocument(text).toJS() as { tunnels?: Record<string, { remoteForward?: unknown } | null> }).tunnels;
  const written: unknown = raw?.[tunnel.name]?.remoteForward;
  const items: readonly unknown[] = Array.isArray(written) ? written : [written];
  const remote = tunnel.forwards.filter(({ kind }) => kind === 'remote');
  const values = remote.map(({ listen, target }, index): EditedValue => {
    const item = remote.length === items.length ? items[index] : undefined;
    // A socket, and a port that the server chooses, stay.
    const port = listen.type === 'tcp' && listen.port !== 0 ? listen.port : null;
    if (item !== undefined && port === null) return item as EditedValue;
    if (typeof item === 'string' && port !== null && typeof forwardPort(item) === 'number') return withPort(item, port);
    const whole = {
      listen: formatEndpoint(listen),
      target: target.type === 'socks' ? 'socks' : formatEndpoint(target),
    };
    return typeof item === 'object' && item !== null
      ? { ...(item as Record<string, EditedValue>), listen: whole.listen }
      : whole;
  });
  return Array.isArray(written) || values.length !== 1 ? values : values[0]!;
}

import { WILDCARD_PROBE_HOST, type Endpoint, type TcpEndpoint, isLoopbackListener } from '../model/endpoint.ts';
import type { ForwardSpec, TunnelSpec } from '../model/spec.ts';
import { choosePort, hasPort } from './choose-port.ts';
import { permitHost } from './permit-host.ts';

/**
 * What a tunnel needs on its server, in terms of sshd_config(5): its listeners, its targets, and connections to its own listeners
 * (`verify`). Nothing else is to be allowed. Every rule for a server, and all that audit compares, is derived from it.
 */
export interface Access {
  /** Values of PermitListen and permitlisten. */
  readonly listens: readonly string[];
  /** Values of PermitOpen and permitopen; `any` where no list can hold the targets. */
  readonly opens: readonly string[] | 'any';
  /** Further values of permitopen for the key's line: the addresses of listeners where GatewayPorts differs from the block's. */
  readonly fallbackOpens: readonly string[];
  /** Whether a listener is not on loopback. */
  readonly publicListener: boolean;
  /** Whether the server listens on a Unix socket. */
  readonly socketListener: boolean;
  /** Whether the server connects to a Unix socket, verification included. */
  readonly socketTarget: boolean;
  /** Limits of the rules, as sentences for the reader of the script. */
  readonly notes: readonly string[];
}

export type AccessSpec = Pick<TunnelSpec, 'name' | 'forwards' | 'verify'>;

/**
 * The access of one tunnel. With `jump`, users may reach the port of `client-setup` through the server, whether it is verified or
 * not. Throws a UserError where a forward cannot be written into the server's files, or has no such port.
 */
export function accessOf(spec: AccessSpec, jump: boolean): Access {
  const { forwards, verify } = spec;
  const remote = forwards.filter(({ kind }) => kind === 'remote').map(({ listen }) => listen);
  const listeners = remote.filter((listen) => listen.type === 'tcp');
  const verified = verify === 'off' ? [] : remote;
  const targets = [
    ...forwards.filter(({ kind }) => kind === 'local').map(({ target }) => target),
    ...(jump ? jumpTargets(spec) : []),
    ...verified.flatMap(addressesOf),
  ];
  const dynamic = forwards.some(({ kind }) => kind === 'dynamic');
  const named = targets.map((target) => (target.type === 'socks' ? null : permitTarget(target)));
  return {
    listens: unique(listeners.map((listen) => permit(listen, 'lower'))),
    opens: dynamic || named.includes(null) ? 'any' : unique(named.filter((text) => text !== null)),
    fallbackOpens: unique(verified.flatMap(fallbackAddresses).map((at) => permit(at, 'as-is'))),
    publicListener: listeners.some((listen) => !isLoopbackListener(listen)),
    socketListener: remote.some(({ type }) => type === 'unix'),
    socketTarget: targets.some(({ type }) => type === 'unix'),
    notes: notesOn(forwards, verify),
  };
}

/** The access of one key, or one user, for these tunnels. */
export function accessOfAll(specs: readonly AccessSpec[]): Access {
  return combine(specs.map((spec) => accessOf(spec, hasPort(spec))));
}

/** The access of a user that logs in for several tunnels. */
export function combine(all: readonly Access[]): Access {
  return {
    listens: unique(all.flatMap(({ listens }) => listens)),
    opens: all.some(({ opens }) => opens === 'any')
      ? 'any'
      : unique(all.flatMap(({ opens }) => (opens === 'any' ? [] : opens))),
    fallbackOpens: unique(all.flatMap(({ fallbackOpens }) => fallbackOpens)),
    publicListener: all.some(({ publicListener }) => publicListener),
    socketListener: all.some(({ socketListener }) => socketListener),
    socketTarget: all.some(({ socketTarget }) => socketTarget),
    notes: unique(all.flatMap(({ notes }) => notes)),
  };
}

/** Whether the list allows the target: sshd compares the text (open_match in OpenSSH's channels.c). */
export function allowsOpen(opens: Access['opens'], to: TcpEndpoint): boolean {
  return opens === 'any' || opens.includes(permit(to, 'as-is')) || opens.includes(permit({ ...to, port: 0 }, 'as-is'));
}

/** Whether the list allows the listener: sshd matches the text of its address with patterns (remote_open_match in channels.c). */
export function allowsListen(listens: Access['listens'], { host, port }: TcpEndpoint): boolean {
  const hosts = host === '' ? ['*'] : ['*', permitHost(host, 'lower')];
  return hosts.some((one) => listens.includes(`${one}:${port}`) || listens.includes(`${one}:*`));
}

/** Whether its listener is on loopback of the server. */
export function isForServer({ kind, listen }: ForwardSpec): boolean {
  return kind === 'remote' && listen.type === 'tcp' && isLoopbackListener(listen);
}

/**
 * An endpoint as sshd compares it: the text that the client sends, not the address it resolves to, so that `localhost` is another
 * listener than 127.0.0.1. For all addresses that text is empty, which the pattern `*` matches. Port 0 is covered by `*` only.
 */
function permit({ host, port }: TcpEndpoint, fold: 'lower' | 'as-is'): string {
  return `${host === '' ? '*' : permitHost(host, fold)}:${port === 0 ? '*' : port}`;
}

/**
 * sshd compares a Unix socket as a host without a port, so that its path in brackets with any port matches it and no host
 * (channel_connect_to_path in OpenSSH's channels.c). Null for a path that a list cannot hold.
 */
function permitTarget(target: Endpoint): string | null {
  if (target.type === 'tcp') return permit(target, 'as-is');
  return /^[\w./@:+-]+$/.test(target.path) ? `[${target.path}]:*` : null;
}

/** The port of `client-setup`, under both names that an ssh client may send for loopback. */
function jumpTargets(spec: AccessSpec): readonly TcpEndpoint[] {
  const { host, port } = choosePort(spec);
  return (host === 'localhost' || host === '127.0.0.1' ? ['localhost', '127.0.0.1'] : [host]).map(at(port));
}

/** The addresses by which the server itself reaches a listener, in every form that a verification may use. */
function addressesOf(listen: Endpoint): readonly Endpoint[] {
  if (listen.type === 'unix') return [listen];
  const host = listen.host.toLowerCase();
  return (ADDRESSES[host === '' ? '*' : host] ?? [listen.host]).map(at(listen.port));
}

const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  localhost: ['localhost', '127.0.0.1', '::1'],
  '*': ['localhost', '127.0.0.1', '::1'],
  '0.0.0.0': ['localhost', '127.0.0.1'],
  '::': ['localhost', '::1'],
};

/**
 * Without a block, GatewayPorts may have any value: with `no`, a listener of another address is bound to loopback; with `yes`, one of
 * loopback is bound to all addresses, which a connection to WILDCARD_PROBE_HOST detects.
 */
function fallbackAddresses(listen: Endpoint): readonly TcpEndpoint[] {
  if (listen.type !== 'tcp') return [];
  const hosts = isLoopbackListener(listen) ? [WILDCARD_PROBE_HOST] : ['localhost', '127.0.0.1', '::1'];
  return hosts.map(at(listen.port));
}

function at(port: number): (host: string) => TcpEndpoint {
  return (host) => ({ type: 'tcp', host, port });
}

function notesOn(forwards: readonly ForwardSpec[], verify: TunnelSpec['verify']): string[] {
  const notes: string[] = [];
  for (const { kind, listen } of forwards) {
    if (kind === 'dynamic') {
      notes.push('A dynamic forward may connect anywhere, so every address that the server reaches is allowed.');
    }
    if (kind !== 'remote') continue;
    if (listen.type === 'unix') {
      notes.push(
        `sshd cannot limit the paths of Unix sockets: the user can create one wherever it may write, and needs write access to the folder of ${listen.path}.`,
      );
    } else if (listen.port === 0) {
      notes.push('The server chooses the port (port 0), which permitlisten cannot name, so every port is allowed.');
      if (verify !== 'off')
        notes.push(
          "To verify such a listener, the tunnel may connect to every port of the server's localhost: where that is too much, name a port, or set `verify: off`.",
        );
    } else if (listen.port < 1024) {
      notes.push(
        `Port ${listen.port} is below 1024, which sshd opens for root only, unless net.ipv4.ip_unprivileged_port_start is ${listen.port} or lower.`,
      );
    }
  }
  return unique(notes);
}

function unique<T>(list: readonly T[]): T[] {
  return [...new Set(list)];
}

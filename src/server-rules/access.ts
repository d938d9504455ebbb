import { WILDCARD_PROBE_HOST, type Endpoint, type TcpEndpoint, isLoopbackListener } from '../model/endpoint.ts';
import type { ForwardSpec, TunnelSpec } from '../model/spec.ts';
import { choosePort } from './choose-port.ts';
import { permitHost } from './permit-host.ts';

/**
 * What a tunnel needs on its server, in the words of sshd_config(5): its listeners, its targets, and a way to see that its listeners
 * lead here (`verify`). Nothing else is to be allowed. All that is written for a server, and all that audit compares, comes from here.
 */
export interface Access {
  /** Values of PermitListen and permitlisten. */
  readonly listens: readonly string[];
  /** Values of PermitOpen and permitopen; `any` where no list can name the targets. */
  readonly opens: readonly string[] | 'any';
  /** What the line of the key opens besides: where sshd puts a listener when its GatewayPorts are not as a block would say. */
  readonly fallbackOpens: readonly string[];
  /** Whether a listener asks for another address than loopback. */
  readonly publicListener: boolean;
  /** Whether the server makes a Unix socket. */
  readonly socketListener: boolean;
  /** Whether the server connects to a Unix socket, be it only to see where it leads. */
  readonly socketTarget: boolean;
  /** What cannot be said as exactly as one would like, for the reader of what is generated. */
  readonly notes: readonly string[];
}

export type AccessSpec = Pick<TunnelSpec, 'name' | 'forwards' | 'verify'>;

/**
 * With `jump`, the one port that `client-setup` tells people to use may be reached through the server whether it is verified or not.
 * Throws a UserError where a forward cannot be written into the server's files, or has no such port.
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

/** What one user needs who logs in for several tunnels. */
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

/** Whether this list of targets allows that one: sshd compares the text (open_match in OpenSSH's channels.c). */
export function allowsOpen(opens: Access['opens'], to: TcpEndpoint): boolean {
  return opens === 'any' || opens.includes(permit(to, 'as-is')) || opens.includes(permit({ ...to, port: 0 }, 'as-is'));
}

/** Whether this list of listeners allows that one: the text of the address is matched with a pattern (remote_open_match in channels.c). */
export function allowsListen(listens: Access['listens'], { host, port }: TcpEndpoint): boolean {
  const hosts = host === '' ? ['*'] : ['*', permitHost(host, 'lower')];
  return hosts.some((one) => listens.includes(`${one}:${port}`) || listens.includes(`${one}:*`));
}

/** Whether it makes a listener for the server itself alone. */
export function isForServer({ kind, listen }: ForwardSpec): boolean {
  return kind === 'remote' && listen.type === 'tcp' && isLoopbackListener(listen);
}

/**
 * sshd compares the text that the client sends, not what it stands for: `localhost` is another listener than 127.0.0.1. For all
 * addresses that text is empty, and the pattern `*` is what matches it. Port 0 cannot be written: `*`, any port, includes it.
 */
function permit({ host, port }: TcpEndpoint, fold: 'lower' | 'as-is'): string {
  return `${host === '' ? '*' : permitHost(host, fold)}:${port === 0 ? '*' : port}`;
}

/**
 * A Unix socket is compared as a host whose port is none, so that its path in brackets with any port names it, and no host
 * (channel_connect_to_path in OpenSSH's channels.c). Null for a path that such a list cannot hold.
 */
function permitTarget(target: Endpoint): string | null {
  if (target.type === 'tcp') return permit(target, 'as-is');
  return /^[\w./@:+-]+$/.test(target.path) ? `[${target.path}]:*` : null;
}

/** Under both names that people's ssh may use for loopback. */
function jumpTargets(spec: AccessSpec): readonly TcpEndpoint[] {
  const { host, port } = choosePort(spec);
  return (host === 'localhost' || host === '127.0.0.1' ? ['localhost', '127.0.0.1'] : [host]).map(at(port));
}

/** Where the server itself reaches a listener, in all the words that a visit may use. */
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
 * Without a block, GatewayPorts may be anything: with `no`, a listener of another address is one of loopback; with `yes`, one of
 * loopback is one of all addresses, and this one tells it.
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
      notes.push('A SOCKS proxy of the device may go anywhere: every address that the server reaches is allowed.');
    }
    if (kind !== 'remote') continue;
    if (listen.type === 'unix') {
      notes.push(
        `sshd cannot limit the paths of Unix sockets: the user may make one wherever it may write, and must be able to write to the folder of ${listen.path}.`,
      );
    } else if (listen.port === 0) {
      notes.push('The server chooses a port (port 0), so that permitlisten can name none: every port is allowed.');
      if (verify !== 'off')
        notes.push(
          "To see that such a listener leads to the device, the tunnel may connect to every port of the server's localhost: name a port, or write `verify: off`, where that is too much.",
        );
    } else if (listen.port < 1024) {
      notes.push(
        `Port ${listen.port} is below 1024, which sshd opens for root alone unless net.ipv4.ip_unprivileged_port_start is ${listen.port} or lower.`,
      );
    }
  }
  return unique(notes);
}

function unique<T>(list: readonly T[]): T[] {
  return [...new Set(list)];
}

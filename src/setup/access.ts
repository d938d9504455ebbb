import type { Endpoint, ForwardSpec, TunnelSpec } from '../tunnel/spec.ts';
import { choosePort } from './choose-port.ts';
import { permitHost } from './names.ts';

/** What the forwards of a tunnel need from the server, in the words of sshd_config(5): nothing else is to be allowed. */
export interface Access {
  /** Values of PermitListen and permitlisten. */
  readonly listens: readonly string[];
  /** Values of PermitOpen and permitopen; `any` where a SOCKS proxy of the device lets each visitor name a target. */
  readonly opens: readonly string[] | 'any';
  /** Whether a listener asks for another address than loopback. */
  readonly publicListener: boolean;
  readonly socketListener: boolean;
  readonly socketTarget: boolean;
  /** What cannot be said as exactly as one would like, for the reader of what is generated. */
  readonly notes: readonly string[];
}

/** With `jump`, the one port that `client-setup` tells people to use may also be reached through the server. */
export function accessOf(spec: Pick<TunnelSpec, 'name' | 'forwards'>, jump: boolean): Access {
  const remote = spec.forwards.filter(({ kind }) => kind === 'remote').map(({ listen }) => listen);
  const listeners = remote.filter((listen) => listen.type === 'tcp');
  const targets = spec.forwards.filter(({ kind }) => kind === 'local').map(({ target }) => target);
  const dynamic = spec.forwards.some(({ kind }) => kind === 'dynamic');
  const opens = [
    ...targets.filter((target) => target.type === 'tcp').map((target) => permit(target, 'as-is')),
    ...(jump ? jumpTargets(spec) : []),
  ];
  return {
    listens: unique(listeners.map((listen) => permit(listen, 'lower'))),
    opens: dynamic ? 'any' : unique(opens),
    publicListener: listeners.some(({ host }) => !LOOPBACK.has(host.toLowerCase())),
    socketListener: remote.some(({ type }) => type === 'unix'),
    socketTarget: targets.some(({ type }) => type === 'unix'),
    notes: notesOn(spec.forwards),
  };
}

/** What one user needs who logs in for several tunnels. */
export function combine(all: readonly Access[]): Access {
  return {
    listens: unique(all.flatMap(({ listens }) => listens)),
    opens: all.some(({ opens }) => opens === 'any')
      ? 'any'
      : unique(all.flatMap(({ opens }) => (opens === 'any' ? [] : opens))),
    publicListener: all.some(({ publicListener }) => publicListener),
    socketListener: all.some(({ socketListener }) => socketListener),
    socketTarget: all.some(({ socketTarget }) => socketTarget),
    notes: unique(all.flatMap(({ notes }) => notes)),
  };
}

type TcpEndpoint = Extract<Endpoint, { type: 'tcp' }>;

/** What sshd binds without GatewayPorts (channel_fwd_bind_addr in OpenSSH's channels.c). */
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);

/**
 * sshd compares the text that the client sends, not what it stands for: `localhost` is another listener than 127.0.0.1. For all
 * addresses that text is empty, and the pattern `*` is what matches it. Port 0 cannot be written: `*`, any port, includes it.
 */
function permit({ host, port }: TcpEndpoint, fold: 'lower' | 'as-is'): string {
  return `${host === '' ? '*' : permitHost(host, fold)}:${port === 0 ? '*' : port}`;
}

/** Under both names that tunneld's own test of the listener and people's ssh may use for loopback. */
function jumpTargets(spec: Pick<TunnelSpec, 'name' | 'forwards'>): string[] {
  const { host, port } = choosePort(spec);
  const hosts = host === 'localhost' || host === '127.0.0.1' ? ['localhost', '127.0.0.1'] : [host];
  return hosts.map((text) => permit({ type: 'tcp', host: text, port }, 'as-is'));
}

function notesOn(forwards: readonly ForwardSpec[]): string[] {
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

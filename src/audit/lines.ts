import { formatEndpoint, type Endpoint, type ForwardSpec } from '../tunnel/spec.ts';
import { isLoopback } from './hole.ts';

/**
 * The options for a key's line in authorized_keys (sshd(8)) with which the key is good for these forwards and nothing else. `restrict`
 * alone leaves commands: it is the forced one that takes them, with every shell and subsystem.
 */
export function keyOptions(forwards: readonly ForwardSpec[]): readonly string[] {
  const { listens, opens } = needsOf(forwards);
  return [
    'restrict',
    'port-forwarding',
    ...or(listens, [NOWHERE]).map((listen) => `permitlisten="${listen}"`),
    ...(opens === null ? [] : or(opens, [NOWHERE]).map((open) => `permitopen="${open}"`)),
    `command="${NO_PROGRAM}"`,
  ];
}

/**
 * The same as a block of sshd_config(5), for all that this user does on the server. Each method is one that is enough, such as
 * `publickey` or `publickey,password`; without any nothing is said of the login.
 */
export function matchBlock(
  user: string,
  forwards: readonly ForwardSpec[],
  methods: readonly string[],
): readonly string[] {
  const { listens, opens, remote, local, publicly, sockets } = needsOf(forwards);
  const lines = [
    ...(methods.length === 0 ? [] : [`AuthenticationMethods ${methods.join(' ')}`]),
    `AllowTcpForwarding ${sides(remote, local)}`,
    `PermitListen ${or(listens, ['none']).join(' ')}`,
    ...(opens === null ? [] : [`PermitOpen ${or(opens, ['none']).join(' ')}`]),
    `AllowStreamLocalForwarding ${sides(sockets.remote, sockets.local)}`,
    `GatewayPorts ${publicly ? 'clientspecified' : 'no'}`,
    'AllowAgentForwarding no',
    'X11Forwarding no',
    'PermitTTY no',
    'PermitTunnel no',
    'PermitUserRC no',
    `ForceCommand ${NO_PROGRAM}`,
  ];
  return [`Match User ${/[\s"#]/.test(user) ? `"${user}"` : user}`, ...lines.map((line) => `    ${line}`)];
}

/** It says that the account is not available, and ends. Where it does not exist, that also runs nothing. */
const NO_PROGRAM = '/usr/sbin/nologin';

/** authorized_keys has no word for "none": a name that never exists (RFC 6761 section 6.4) allows nothing, and so forbids the rest. */
const NOWHERE = 'none.invalid:1';

interface Needs {
  readonly listens: readonly string[];
  /** Null where every connection has to be allowed: OpenSSH cannot name a Unix socket (open_match in its channels.c). */
  readonly opens: readonly string[] | null;
  readonly remote: boolean;
  readonly local: boolean;
  /** Whether a listener is for others than the server itself. */
  readonly publicly: boolean;
  readonly sockets: { readonly remote: boolean; readonly local: boolean };
}

function needsOf(forwards: readonly ForwardSpec[]): Needs {
  const listens = forwards.flatMap(({ kind, listen }) => (kind === 'remote' ? [listen] : []));
  const opens = forwards.flatMap(({ kind, target }) => (kind === 'remote' ? [] : [target]));
  const ports = listens.filter((listen) => listen.type === 'tcp');
  const targets = opens.filter((target) => target.type === 'tcp');
  return {
    listens: unique(ports.map(permission)),
    opens: targets.length === opens.length ? unique(targets.map(permission)) : null,
    remote: listens.length > 0,
    local: opens.length > 0,
    publicly: ports.some(({ host }) => !isLoopback(host)),
    sockets: { remote: ports.length < listens.length, local: opens.some(({ type }) => type === 'unix') },
  };
}

/** Matched with what is sent, in small letters; a port that the server chooses is any port. */
function permission(endpoint: Endpoint & { readonly type: 'tcp' }): string {
  const text = formatEndpoint({ ...endpoint, host: endpoint.host.toLowerCase() });
  return endpoint.port === 0 ? text.replace(/0$/, '*') : text;
}

/** In the words of AllowTcpForwarding and AllowStreamLocalForwarding. */
function sides(remote: boolean, local: boolean): string {
  if (remote) return local ? 'yes' : 'remote';
  return local ? 'local' : 'no';
}

function or(list: readonly string[], instead: readonly string[]): readonly string[] {
  return list.length === 0 ? instead : list;
}

function unique(list: readonly string[]): readonly string[] {
  return [...new Set(list)];
}

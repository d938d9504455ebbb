import type { Clock } from '../../lib/async/clock.ts';
import { allowsOpen, isForServer, type Access } from '../../server-rules/access.ts';
import { formatEndpoint, type TcpEndpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import type { SessionUse, SshConnection } from '../../connection/ssh/connection.ts';
import { connects } from './ask.ts';
import type { Observation } from '../findings/finding.ts';
import type { Hole } from '../findings/hole.ts';
import { listenEverywhere, listenOnOtherPort, PRIVILEGED, reachListeners, UNPRIVILEGED } from './listening.ts';
import { connectToSocket, listenOnSocket } from './sockets.ts';
import type { OpenLogin } from '../../connection/route/open-login.ts';

export interface Attempt {
  readonly hole: Hole;
  /** Null where nothing could be seen. Rejects with a TunnelFailure where the connection ends. */
  run(login: OpenLogin, signal: AbortSignal): Promise<Observation | null>;
}

/** All that can be tried on a connection, in the order of the report. */
export function attemptsFor(
  spec: TunnelSpec,
  access: Access,
  clock: Clock,
  knownSockets: readonly string[],
): readonly Attempt[] {
  const ofListeners: Attempt = {
    hole: 'listen-public',
    run: (login, signal) => reachListeners(login, spec, signal),
  };
  return [
    ...SESSIONS.map((use) => ({ hole: use, run: (login: OpenLogin) => useSession(login, use) })),
    { hole: 'tunnel-device', run: async ({ connection }) => OF_TUN[await connection.openTun()] },
    { hole: 'connect-server', run: (login) => connectToAny(login, serversOwn(spec, access)) },
    { hole: 'connect-elsewhere', run: (login) => connectToAny(login, elsewhere(spec, access)) },
    { hole: 'connect-socket', run: (login) => connectToSocket(login.connection, knownSockets) },
    { hole: 'listen-port', run: (login) => listenOnOtherPort(login, access, UNPRIVILEGED) },
    { hole: 'listen-everywhere', run: (login, signal) => listenEverywhere(login, spec, access, clock, signal) },
    { hole: 'listen-privileged', run: (login) => listenOnOtherPort(login, access, PRIVILEGED) },
    { hole: 'listen-socket', run: (login) => listenOnSocket(login.connection) },
    ...(spec.forwards.some(isForServer) ? [ofListeners] : []),
  ];
}

const SESSIONS: readonly SessionUse[] = ['command', 'shell', 'sftp', 'terminal', 'agent', 'x11', 'environment'];

async function useSession({ connection }: OpenLogin, use: SessionUse): Promise<Observation> {
  const { result, output } = await connection.probeSession(use);
  const words = output === '' ? '' : `: ${output}`;
  switch (result) {
    case 'granted':
      return { verdict: 'open', detail: output };
    case 'refused':
      return { verdict: 'closed', detail: 'refused' };
    case 'other':
      return { verdict: 'closed', detail: `the server runs something of its own instead${words}` };
    case 'silent':
      return { verdict: 'unknown', detail: `the server accepted it, but nothing followed${words}` };
  }
}

const OF_TUN: Readonly<Record<Awaited<ReturnType<SshConnection['openTun']>>, Observation>> = {
  granted: { verdict: 'open', detail: 'the server made one for a moment' },
  unable: { verdict: 'open', detail: 'the server tried to make one' },
  refused: { verdict: 'closed', detail: 'refused' },
};

/**
 * Ports of valuable services, and one without a service: sshd, mail, the web, files, directories, databases, queues, containers,
 * desktops, administration.
 */
const PORTS = [
  1, 21, 22, 23, 25, 53, 80, 110, 111, 139, 143, 389, 443, 445, 587, 631, 873, 1433, 1521, 1883, 2049, 2375, 2379, 3000,
  3128, 3306, 3389, 5000, 5432, 5672, 5900, 5984, 6379, 8000, 8080, 8443, 8500, 8888, 9000, 9090, 9200, 10000, 11211,
  27017,
];

/**
 * Another loopback address, where only services for all addresses listen: a refusal by the kernel of the server shows that its rules
 * allow the connection, and no third party notices it.
 */
function elsewhere(spec: TunnelSpec, { opens }: Access): readonly TcpEndpoint[] {
  return portsFor(spec)
    .map((port) => ({ type: 'tcp', host: '127.0.0.2', port }) as const)
    .filter((at) => !allowsOpen(opens, at));
}

/** Not the ports of the tunnel's listeners, which lead here. */
function portsFor({ forwards }: TunnelSpec): readonly number[] {
  const own = forwards.flatMap(({ listen }) => (listen.type === 'tcp' ? [listen.port] : []));
  return PORTS.filter((port) => !own.includes(port));
}

/** Ports of the server; not those that the tunnel itself connects to. */
function serversOwn(spec: TunnelSpec, { opens }: Access): readonly TcpEndpoint[] {
  const { host, port, jumps } = spec;
  const ports = [...new Set([22, port, ...portsFor(spec)])];
  const candidates = [
    ...['127.0.0.1', 'localhost', '::1'].flatMap((loopback) => ports.map((one) => ({ host: loopback, port: one }))),
    // Behind a jump the name may mean something else to the server itself.
    ...(jumps.length === 0 ? [{ host, port }] : []),
  ];
  const names = new Set<string>();
  return candidates
    .map((at) => ({ type: 'tcp', ...at }) as const)
    .filter((at) => !allowsOpen(opens, at) && !names.has(formatEndpoint(at)) && names.add(formatEndpoint(at)));
}

/** Open where one of them is; a server that tries in vain has rules that allow it. */
async function connectToAny({ connection }: OpenLogin, targets: readonly TcpEndpoint[]): Promise<Observation> {
  let willing: Observation | null = null;
  for (let at = 0; at < targets.length; at += AT_ONCE) {
    const some = targets.slice(at, at + AT_ONCE);
    const answers = await Promise.all(some.map((target) => connects(connection, target)));
    const where = (answer: string) => formatEndpoint(some[answers.indexOf(answer as 'yes')]!);
    if (answers.includes('yes')) return { verdict: 'open', detail: `the server connected to ${where('yes')}` };
    if (answers.includes('no'))
      willing ??= { verdict: 'open', detail: `the server tried to connect to ${where('no')}` };
  }
  const examples = targets.slice(0, 3).map(formatEndpoint).join(', ');
  return willing ?? { verdict: 'closed', detail: `${targets.length} were refused, such as ${examples}` };
}

/** Few enough for any server, enough not to wait for each answer. */
const AT_ONCE = 16;

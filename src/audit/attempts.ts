import type { Clock } from '../lib/clock.ts';
import { allowsOpen, type Access } from '../server-rules/access.ts';
import { formatEndpoint, type Endpoint, type TunnelSpec } from '../tunnel/spec.ts';
import type { SessionUse } from '../tunnel/ssh.ts';
import { connects } from './ask.ts';
import type { Seen } from './finding.ts';
import type { Hole } from './hole.ts';
import { listenEverywhere, listenOnOtherPort, PRIVILEGED, UNPRIVILEGED } from './listening.ts';
import { connectToSocket, listenOnSocket } from './sockets.ts';
import type { Visit } from './visit.ts';

export interface Attempt {
  readonly hole: Hole;
  /** Rejects with a TunnelFailure where the connection ends meanwhile. */
  run(visit: Visit, signal: AbortSignal): Promise<Seen>;
}

/** All that can be tried on a connection, in the order of the report. */
export function attemptsFor(
  spec: TunnelSpec,
  access: Access,
  clock: Clock,
  knownSockets: readonly string[],
): readonly Attempt[] {
  return [
    ...SESSIONS.map((use) => ({ hole: use, run: (visit: Visit) => useSession(visit, use) })),
    { hole: 'connect-server', run: (visit) => connectToAny(visit, serversOwn(spec, access)) },
    { hole: 'connect-elsewhere', run: (visit) => connectToAny(visit, [ELSEWHERE]) },
    { hole: 'connect-socket', run: (visit) => connectToSocket(visit.connection, knownSockets) },
    { hole: 'listen-port', run: (visit) => listenOnOtherPort(visit, spec, UNPRIVILEGED) },
    { hole: 'listen-everywhere', run: (visit) => listenEverywhere(visit, spec, clock) },
    { hole: 'listen-privileged', run: (visit) => listenOnOtherPort(visit, spec, PRIVILEGED) },
    { hole: 'listen-socket', run: (visit) => listenOnSocket(visit.connection) },
  ];
}

const SESSIONS: readonly SessionUse[] = ['command', 'shell', 'sftp', 'terminal', 'agent', 'x11'];

async function useSession({ connection }: Visit, use: SessionUse): Promise<Seen> {
  const { outcome, said } = await connection.attempt(use);
  const words = said === '' ? '' : `: ${said}`;
  switch (outcome) {
    case 'granted':
      return { verdict: 'open', detail: '' };
    case 'refused':
      return { verdict: 'closed', detail: 'refused' };
    case 'other':
      return { verdict: 'closed', detail: `the server does something of its own instead${words}` };
    case 'silent':
      return { verdict: 'unknown', detail: `the server said yes, but nothing came of it${words}` };
  }
}

/**
 * Another loopback address, where nobody listens: the answer of the system below the server ("refused") tells that its rules allow
 * the connection, and no third party hears of it.
 */
const ELSEWHERE: Endpoint = { type: 'tcp', host: '127.0.0.2', port: 1 };

/** Ports of the server that surely are there; not those that the tunnel itself connects to. */
function serversOwn({ host, port, jumps }: TunnelSpec, { opens }: Access): readonly Endpoint[] {
  const candidates = [
    { host: '127.0.0.1', port: 22 },
    { host: '127.0.0.1', port },
    // Behind a jump the name may mean something else to the server itself.
    ...(jumps.length === 0 ? [{ host, port }] : []),
  ];
  const names = new Set<string>();
  return candidates
    .map((at) => ({ type: 'tcp', ...at }) as const)
    .filter((at) => !allowsOpen(opens, at) && !names.has(formatEndpoint(at)) && names.add(formatEndpoint(at)));
}

/** Open where one of them is; a server that tries in vain is one whose rules allow it. */
async function connectToAny({ connection }: Visit, targets: readonly Endpoint[]): Promise<Seen> {
  let willing: Seen | null = null;
  for (const target of targets) {
    const where = formatEndpoint(target);
    const answer = await connects(connection, target);
    if (answer === 'yes') return { verdict: 'open', detail: `the server connected to ${where}` };
    if (answer === 'no') willing ??= { verdict: 'open', detail: `the server tried to connect to ${where}` };
  }
  return willing ?? { verdict: 'closed', detail: 'refused' };
}

import { randomInt } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { discard } from '../tunnel/dial.ts';
import { asFailure } from '../tunnel/failure.ts';
import type { TunnelSpec } from '../tunnel/spec.ts';
import { whileListening } from './ask.ts';
import type { Seen } from './finding.ts';
import type { Visit } from './visit.ts';

/** Both ends included; below the ports that connections are made from (32768 on Linux). */
export const UNPRIVILEGED: PortRange = { low: 20_000, high: 32_000 };

/** Unassigned, as far as IANA's list goes. */
export const PRIVILEGED: PortRange = { low: 703, high: 708 };

/** The first port may be in use. */
const TRIES = 2;

interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** Has the server listen on a port of its localhost that the tunnel has not. */
export async function listenOnOtherPort({ connection }: Visit, spec: TunnelSpec, range: PortRange): Promise<Seen> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = otherPort(spec, range);
    const at = { type: 'tcp', host: 'localhost', port } as const;
    if ((await whileListening(connection, at, async () => true)) === true)
      return { verdict: 'open', detail: `the server listened on port ${port} for a moment` };
  }
  return { verdict: 'closed', detail: 'refused' };
}

/**
 * Has the server listen on all its addresses. OpenSSH says yes to that and listens on localhost alone where GatewayPorts is `no`
 * (channel_fwd_bind_addr in channels.c), so that only a connection from here tells.
 */
export async function listenEverywhere(visit: Visit, spec: TunnelSpec, clock: Clock): Promise<Seen> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = otherPort(spec, UNPRIVILEGED);
    const at = { type: 'tcp', host: '', port } as const;
    const seen = await whileListening(visit.connection, at, () => comeBack(visit, spec, port, clock));
    if (seen !== null) return seen;
  }
  return { verdict: 'closed', detail: 'refused' };
}

async function comeBack(visit: Visit, spec: TunnelSpec, port: number, clock: Clock): Promise<Seen> {
  const said = `the server says that it listens on port ${port} of all its addresses`;
  const blind = { verdict: 'unknown', detail: `${said}, and from here it cannot be seen whether it does` } as const;
  const address = visit.connection.transport.ends?.remoteAddress;
  if (spec.jumps.length > 0 || spec.entry.type !== 'direct' || address === undefined || LOOPBACK.test(address))
    return blind;
  const visited = visit.visitorAt(port);
  try {
    const dialled = await visit.dialPort(port, REACH_MS);
    let cancel = () => {};
    const late = new Promise<false>((resolve) => (cancel = clock.timer(REACH_MS, () => resolve(false))));
    const came = await Promise.race([visited.then(() => true), late]);
    cancel();
    discard(dialled);
    return came ? { verdict: 'open', detail: `port ${port} of the server led here for a moment` } : blind;
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code === 'connect-refused')
      return { verdict: 'closed', detail: `${said}, but there it is not to be reached (GatewayPorts no)` };
    return { verdict: 'unknown', detail: `${said}, but it does not answer (a firewall, perhaps): ${failure.message}` };
  }
}

/** Where a server that is reached over its loopback listens in any case. */
const LOOPBACK = /^(127\.0\.0\.1|::1|::ffff:127\.0\.0\.1)$/;

const REACH_MS = 3000;

function otherPort({ forwards }: TunnelSpec, { low, high }: PortRange): number {
  const taken = new Set(forwards.map(({ listen }) => (listen.type === 'tcp' ? listen.port : 0)));
  for (;;) {
    const port = randomInt(low, high + 1);
    if (!taken.has(port)) return port;
  }
}

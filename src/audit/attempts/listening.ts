import { randomInt } from 'node:crypto';
import { type Clock, sleepUntil } from '../../lib/async/clock.ts';
import { createEmitter } from '../../lib/async/emitter.ts';
import { succeeds } from '../../lib/async/succeeds.ts';
import { type Access, allowsListen } from '../../server-rules/access.ts';
import { discard } from '../../net/dial.ts';
import type { PortRange } from '../../net/source-ports.ts';
import { asFailure } from '../../model/failure.ts';
import { WILDCARD_PROBE_HOST, type TcpEndpoint, isLoopbackListener } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { connects, whileListening } from './ask.ts';
import type { Observation } from '../findings/finding.ts';
import type { OpenLogin } from '../../connection/route/open-login.ts';

/** Below the ports that connections are made from (32768 on Linux). */
export const UNPRIVILEGED: PortRange = { low: 20_000, high: 32_000 };

/** Unassigned, as far as IANA's list goes. */
export const PRIVILEGED: PortRange = { low: 703, high: 708 };

/** The first port may be in use. */
const TRIES = 2;

/** Has the server listen on ports of its localhost that are not the tunnel's: usual ones, and two at random. */
export async function listenOnOtherPort(
  { connection }: OpenLogin,
  access: Access,
  range: PortRange,
): Promise<Observation> {
  const examples = range === PRIVILEGED ? [25, 80, 443] : neighbours(access);
  const ports = [...new Set([...examples, randomInt(range.low, range.high + 1), randomInt(range.low, range.high + 1)])]
    .map((port) => ({ type: 'tcp', host: 'localhost', port }) as const)
    .filter((at) => !allowsListen(access.listens, at));
  const granted = await Promise.all(ports.map((at) => whileListening(connection, at, async () => at.port)));
  const port = granted.find((one) => one !== null);
  return port === undefined
    ? { verdict: 'closed', detail: `${ports.length} were refused, such as ${ports[0]?.port}` }
    : { verdict: 'open', detail: `the server listened on port ${port} for a moment` };
}

/** Ports that may be allowed besides: the next ones, and usual ones. */
function neighbours({ listens }: Access): readonly number[] {
  const own = listens.map((text) => Number(text.slice(text.lastIndexOf(':') + 1))).filter((port) => port >= 1024);
  const near = own.flatMap((port) => [port - 1, port + 1, port + 2, port + 10, port + 100]);
  return [...near.slice(0, MAX_NEAR), 2200, 2222, 3000, 5000, 8000, 8080, 8081, 8443, 8888, 9000].filter(
    (port) => port >= 1024 && port < 65_536,
  );
}

const MAX_NEAR = 20;

/**
 * Has the server listen on all its addresses. OpenSSH says yes to that and listens on localhost alone where GatewayPorts is `no`
 * (channel_fwd_bind_addr in channels.c), so that only a connection from here shows it.
 */
export async function listenEverywhere(
  login: OpenLogin,
  spec: TunnelSpec,
  access: Access,
  clock: Clock,
  signal: AbortSignal,
): Promise<Observation> {
  const own = await listenBesides(login, spec, access);
  if (own !== null) return own;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = randomInt(UNPRIVILEGED.low, UNPRIVILEGED.high + 1);
    const at = { type: 'tcp', host: '', port } as const;
    if (allowsListen(access.listens, at)) continue;
    const seen = await whileListening(login.connection, at, () => dialListener(login, spec, port, clock, signal));
    if (seen !== null) return seen;
  }
  return { verdict: 'closed', detail: 'refused' };
}

/**
 * The tunnel's own port at other addresses (`permitlisten="8080"`). Two of loopback at once, for a server that ignores the address
 * (GatewayPorts no) has but one listener for both.
 */
async function listenBesides({ connection }: OpenLogin, spec: TunnelSpec, access: Access): Promise<Observation | null> {
  for (const { port } of ownListeners(spec)) {
    const [one, other] = ['127.0.0.2', '127.0.0.3'].map((host) => ({ type: 'tcp', host, port }) as const);
    if (allowsListen(access.listens, one!) || allowsListen(access.listens, other!)) continue;
    const both = await whileListening(connection, one!, () => whileListening(connection, other!, async () => true));
    if (both === true)
      return { verdict: 'open', detail: `the server listened on port ${port} of other addresses for a moment` };
  }
  return null;
}

function ownListeners({ forwards }: TunnelSpec): readonly TcpEndpoint[] {
  return forwards
    .flatMap(({ kind, listen }) => (kind === 'remote' && listen.type === 'tcp' && listen.port !== 0 ? [listen] : []))
    .slice(0, MAX_OWN);
}

/** There may be thousands; a few show what holds for all. */
const MAX_OWN = 8;

/**
 * Whether other machines reach the tunnel's listeners of loopback: with GatewayPorts yes, sshd makes them listen on all addresses. Null
 * where that cannot be seen.
 */
export async function reachListeners(
  { connection, dialPort }: OpenLogin,
  spec: TunnelSpec,
  signal: AbortSignal,
): Promise<Observation | null> {
  let seen: Observation | null = null;
  for (const { port } of ownListeners(spec).filter((one) => isLoopbackListener(one))) {
    const inside = await connects(connection, { type: 'tcp', host: WILDCARD_PROBE_HOST, port });
    if (inside === 'yes')
      return { verdict: 'open', detail: `port ${port} listens on all addresses of the server (GatewayPorts yes)` };
    if (inside === 'no')
      seen ??= { verdict: 'closed', detail: `nothing listens at ${WILDCARD_PROBE_HOST}:${port} of the server` };
    // The server counts new connections: one port stands for all.
    else if (seen === null && seesServer(spec, connection)) {
      const answers = await succeeds(dialPort(port, REACH_MS).then(discard));
      signal.throwIfAborted();
      const words = `port ${port} of the server ${answers ? 'answers' : 'does not answer'} from here`;
      if (answers) return { verdict: 'unknown', detail: `${words}: GatewayPorts yes, or another program` };
      seen = { verdict: 'closed', detail: words };
    }
  }
  return seen;
}

/** Whether what this device dials is the server itself, and not its loopback, where everything listens. */
function seesServer(spec: TunnelSpec, { transport }: OpenLogin['connection']): boolean {
  const address = transport.addresses?.remoteAddress;
  return (
    spec.jumps.length === 0 &&
    spec.entry.type === 'direct' &&
    address !== undefined &&
    !WHERE_ALL_LISTEN.includes(address)
  );
}

async function dialListener(
  login: OpenLogin,
  spec: TunnelSpec,
  port: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Observation> {
  const listens = `the server reports that it listens on port ${port} of all its addresses`;
  const blind = { verdict: 'unknown', detail: `${listens}, which cannot be seen from here` } as const;
  if (!seesServer(spec, login.connection)) return blind;
  const visited = createEmitter();
  let came = false;
  const forget = login.onVisitor(port, () => {
    came = true;
    visited.emit();
  });
  try {
    const dialled = await login.dialPort(port, REACH_MS);
    // The visitor may have come before the dial ended.
    if (!came) await sleepUntil(clock, REACH_MS, [visited.subscribe], signal);
    discard(dialled);
    return came ? { verdict: 'open', detail: `port ${port} of the server led here for a moment` } : blind;
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = asFailure(error);
    if (code === 'connect-refused')
      return { verdict: 'closed', detail: `${listens}, but it refuses connections there (GatewayPorts no)` };
    return { verdict: 'unknown', detail: `${listens}, but it does not answer (perhaps a firewall): ${message}` };
  } finally {
    forget();
  }
}

/** On its loopback a server listens in any case. */
const WHERE_ALL_LISTEN: readonly string[] = ['127.0.0.1', '::1', '::ffff:127.0.0.1'];

const REACH_MS = 3000;

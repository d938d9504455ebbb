import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { childController } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Device } from './device.ts';
import { evict } from './evict.ts';
import { TunnelFailure } from './failure.ts';
import { requestForwards } from './forwards.ts';
import { openLocalForwards } from './local-forwards.ts';
import { AUTH_TIMEOUT_MS, prepareLogin } from './login.ts';
import { inspectLoopback, type LoopbackInspector } from './loopback.ts';
import { createReception, type Reception } from './reception.ts';
import { prepareRoute, type Route } from './route.ts';
import { formatEndpoint, type TunnelSpec } from './spec.ts';
import type { SshConnection, Visitor } from './ssh.ts';
import type { IdentityCache } from './ssh2/identities.ts';
import type { ForwardState, TunnelState } from './state.ts';
import { watchConnection } from './watch.ts';

export interface SessionDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly identities: IdentityCache;
  readonly device: Device;
  /** A TCP connection to the first machine on the way, and what is left of connectTimeout for the handshake. */
  reach(): Promise<{ readonly socket: Socket; readonly leftMs: number }>;
  /** Whether this tunnel was up at some time before. */
  wasUp(): boolean;
  /** Local ports, other than this one, of connections that the server may still hold. */
  earlierPorts(current: number): readonly number[];
  /** Says that this loop is alive and will say so again within the time. */
  heartbeat(withinMs: number): void;
  state(): TunnelState;
  report(change: Partial<TunnelState>): void;
  reportForward(index: number, change: Partial<ForwardState>): void;
  reportFailure(failure: TunnelFailure): void;
}

/**
 * One connection from the first packet to its death: connects, authenticates, asks for the forwards, serves visitors and watches
 * that the server lives. Never resolves: it rejects with the TunnelFailure that ended it, or with the signal's reason.
 */
export async function runSession(spec: TunnelSpec, deps: SessionDeps, signal: AbortSignal): Promise<never> {
  const { clock } = deps;
  const over = childController(signal);
  // Each visitor listens to it; Node warns of more than ten.
  setMaxListeners(0, over.signal);
  let route: Route | null = null;
  let connection: SshConnection | null = null;
  let reception: Reception | null = null;
  try {
    // What is wrong on this side is found before anybody is bothered.
    const login = await prepareLogin(spec, { ...deps, name: spec.name });
    const travel = await prepareRoute(spec, {
      ...deps,
      onSourcePort: (port) => deps.report({ sourcePort: port }),
    });
    route = await travel(signal);
    deps.heartbeat(spec.connectTimeoutMs + AUTH_TIMEOUT_MS + HEARTBEAT_SLACK_MS);
    let receive = (visitor: Visitor): void => visitor.reject();
    const events = {
      onAuthenticating: () => deps.report({ phase: 'authenticating' }),
      onVisitor: (visitor: Visitor) => receive(visitor),
    };
    connection = await Promise.race([route.lost, login(route, events, signal)]);
    const loopback = inspectLoopback(connection, clock, over.signal);
    reception = createReception(spec, connection, loopback, deps, over.signal);
    receive = reception.receive;
    deps.report({ phase: 'forwarding' });
    return await Promise.race([
      connection.lost,
      route.lost,
      watchConnection(connection, spec, { ...deps, answers: route.answers }, over.signal),
      forward(connection, spec, loopback, reception, deps, over.signal),
    ]);
  } finally {
    if (connection !== null && signal.aborted) {
      await sayGoodbye(connection, deps.state().forwards, clock);
      await route?.close();
    }
    connection?.destroy();
    over.abort(new TunnelFailure('disconnected', 'the session is over'));
    over.dispose();
    await Promise.all([reception?.ended(), route?.destroy()]);
  }
}

/** Opens the listeners on both sides and says when the tunnel is up; never resolves. */
async function forward(
  connection: SshConnection,
  spec: TunnelSpec,
  loopback: LoopbackInspector,
  reception: Reception,
  deps: SessionDeps,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random, log } = deps;
  let evicted = false;
  const evictOnce = () => {
    const { ends } = connection.transport;
    if (evicted || ends === null) return;
    evicted = true;
    void evict(ends, deps.earlierPorts, clock, signal);
  };
  const up = (index: number, whose: string, verified: ForwardState['verified']) => {
    const { listen } = spec.forwards[index]!;
    const wasRefused = deps.state().forwards[index]?.state === 'refused';
    if (wasRefused) log.info(`${whose} listens on ${formatEndpoint(listen)} now`);
    deps.reportForward(index, { state: 'up', refusal: null, verified });
  };
  const refused = (index: number, refusal: ForwardState['refusal'], failure: TunnelFailure) => {
    deps.reportForward(index, { state: 'refused', refusal });
    deps.reportFailure(failure);
  };
  const local = openLocalForwards(
    spec.forwards,
    {
      clock,
      random,
      replace: spec.streamLocalBindUnlink,
      onVisitor: reception.receiveLocal,
      // Who connects to a listener of this device's kernel comes here and nowhere else.
      onUp: (index) => up(index, 'this device', 'yes'),
      onRefused: refused,
    },
    signal,
  );
  const remote = requestForwards(
    connection,
    spec.forwards,
    {
      clock,
      random,
      log,
      wasUp: deps.wasUp(),
      loopback,
      onGranted: (index, port, rttMs) => {
        const { listen } = spec.forwards[index]!;
        const chosen = listen.type === 'tcp' && listen.port === 0 ? port : null;
        deps.reportForward(index, { boundPort: chosen });
        deps.report({ rttMs: Math.round(rttMs * 10) / 10 });
        if (chosen !== null) log.info(`the server chose port ${chosen} for ${formatEndpoint(listen)}`);
      },
      onUp: (index, owner) => up(index, 'the server', owner === 'ours' ? 'yes' : 'unknown'),
      onRefused: (index, refusal, failure) => {
        refused(index, refusal, failure);
        evictOnce();
      },
    },
    signal,
  );
  await Promise.race([Promise.all([local.answered, remote.answered]), giveUp(clock, signal)]);
  if (spec.exitOnForwardFailure) await Promise.all([local.granted, remote.granted]);
  deps.report({ phase: 'up' });
  await Promise.all([local.granted, remote.granted]);
  return await new Promise<never>(() => {});
}

/** A server that answers other things but not this one would leave us without a listener for ever. */
async function giveUp(clock: Clock, signal: AbortSignal): Promise<never> {
  await sleep(clock, ANSWER_MS, signal);
  throw new TunnelFailure('keepalive-lost', `the server did not say within ${ANSWER_MS / 1000} s whether it listens`);
}

const ANSWER_MS = 30_000;

const HEARTBEAT_SLACK_MS = 30_000;

/** Gives the listeners back before the connection ends, as long as the server answers quickly. */
async function sayGoodbye(connection: SshConnection, forwards: readonly ForwardState[], clock: Clock): Promise<void> {
  const patience = new AbortController();
  const given = forwards
    .filter((forward) => forward.state === 'up' && forward.spec.kind === 'remote')
    .map(({ spec: { listen }, boundPort }) =>
      connection.unlisten(listen.type === 'tcp' ? { ...listen, port: boundPort ?? listen.port } : listen),
    );
  const late = sleep(clock, UNLISTEN_MS, patience.signal);
  await Promise.race([Promise.all(given), late]).catch(() => {});
  patience.abort();
  late.catch(() => {});
  await connection.close();
}

const UNLISTEN_MS = 500;

import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { childController } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { TunnelFailure } from './failure.ts';
import { requestForwards } from './forwards.ts';
import { createHostKeyJudge } from './host-key.ts';
import type { Device } from './device.ts';
import { evict } from './evict.ts';
import { inspectLoopback, type LoopbackInspector } from './loopback.ts';
import { formatEndpoint, type Endpoint, type TunnelSpec } from './spec.ts';
import type { SshConnection, Visitor } from './ssh.ts';
import { connectSsh } from './ssh2/connect.ts';
import { prepareAuthentication } from './ssh2/auth.ts';
import type { IdentityCache } from './ssh2/identities.ts';
import type { Counters, ForwardState, TunnelState } from './state.ts';
import { turnedAwayLog } from './turned-away.ts';
import { serveVisitor } from './visitor.ts';
import { watchConnection } from './watch.ts';

export interface SessionDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly identities: IdentityCache;
  readonly device: Device;
  /** A TCP connection to the server, and what is left of connectTimeout for the handshake. */
  reach(signal: AbortSignal): Promise<{ readonly socket: Socket; readonly leftMs: number }>;
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
  const { clock, log } = deps;
  const over = childController(signal);
  // Each visitor listens to it; Node warns of more than ten.
  setMaxListeners(0, over.signal);
  const visitors = new Set<Promise<void>>();
  const turnedAway = turnedAwayLog(log, clock);
  let connection: SshConnection | null = null;
  let loopback: LoopbackInspector | null = null;
  try {
    // What is wrong on this side is found before the server is bothered.
    const judge = await createHostKeyJudge(spec, log);
    const authentication = await prepareAuthentication(spec, deps.identities, log, clock);
    const { socket, leftMs } = await deps.reach(signal);
    deps.heartbeat(spec.connectTimeoutMs + AUTH_TIMEOUT_MS + HEARTBEAT_SLACK_MS);
    deps.report({ sourcePort: socket.localPort ?? null });
    connection = await connectSsh(
      {
        spec,
        socket,
        knownKeyTypes: judge.knownKeyTypes,
        verifyHostKey: judge.verify,
        authHandler: authentication.handler(judge.trusted),
        describeAuth: authentication.describe,
        handshakeTimeoutMs: leftMs,
        authTimeoutMs: AUTH_TIMEOUT_MS,
        clock,
        onAuthenticating: () => {
          deps.report({ phase: 'authenticating' });
          void judge.proven();
        },
        onVisitor: (visitor) => receive(visitor),
        onHostKeys: (keys) => void judge.learn(keys),
        onBanner: (text) => log.debug({ banner: text }, 'the server sent a banner'),
      },
      signal,
    );
    loopback = inspectLoopback(connection, clock, over.signal);
    deps.report({ phase: 'forwarding' });
    log.debug({ server: connection.serverVersion }, 'authenticated');
    return await Promise.race([
      connection.lost,
      watchConnection(connection, spec, deps, over.signal),
      forward(connection, spec, loopback, deps, over.signal),
    ]);
  } finally {
    if (connection !== null) {
      if (signal.aborted) await sayGoodbye(connection, deps.state().forwards, clock);
      connection.destroy();
    }
    over.abort(new TunnelFailure('disconnected', 'the session is over'));
    over.dispose();
    await Promise.all(visitors);
  }

  function receive(visitor: Visitor, again = true): void {
    if (loopback?.claim(visitor)) return;
    const index = findForward(deps.state().forwards, visitor.listen);
    const forward = deps.state().forwards[index];
    if (connection !== null && forward !== undefined && visitors.size < MAX_VISITORS) {
      const served = serveVisitor(
        visitor,
        {
          forward: forward.spec,
          counters: forward.counters,
          transport: connection.transport,
          clock,
          log,
          connectTimeoutMs: spec.connectTimeoutMs,
          onTarget: (failure) => reportTarget(deps, index, failure),
        },
        over.signal,
      )
        .catch((error: unknown) => {
          log.error({ code: 'internal', error }, 'a bug ended the connection of a visitor');
          visitor.reject();
        })
        .finally(() => visitors.delete(served));
      visitors.add(served);
    } else if (again) {
      // The grant of a port that the server chose, and its first visitor, may come in one packet: the grant is known a turn later.
      setImmediate(() => receive(visitor, false));
    } else {
      visitor.reject();
      const counters: Counters | undefined = forward?.counters;
      if (counters !== undefined) counters.refusedConnections += 1;
      turnedAway(visitor, forward === undefined ? 'nobody asked for this listener' : 'too many at once');
    }
  }
}

/** Authentication has its own time: a server that looks names up backwards, or delays failures, is slow but not dead. */
const AUTH_TIMEOUT_MS = 30_000;

/** A server that opens connections without end must not use up our descriptors and memory. */
const MAX_VISITORS = 1024;

/** Asks for the listeners and says when the tunnel is up; never resolves. */
async function forward(
  connection: SshConnection,
  spec: TunnelSpec,
  loopback: LoopbackInspector,
  deps: SessionDeps,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random, log } = deps;
  let evicted = false;
  const evictOnce = () => {
    if (evicted) return;
    evicted = true;
    void evict(connection.transport.ends, deps.earlierPorts, clock, signal);
  };
  const { answered, granted } = requestForwards(
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
      onUp: (index, owner) => {
        const wasRefused = deps.state().forwards[index]?.state === 'refused';
        if (wasRefused) log.info(`the server listens on ${formatEndpoint(spec.forwards[index]!.listen)} now`);
        deps.reportForward(index, { state: 'up', refusal: null, verified: owner === 'ours' ? 'yes' : 'unknown' });
      },
      onRefused: (index, refusal, failure) => {
        deps.reportForward(index, { state: 'refused', refusal });
        deps.reportFailure(failure);
        evictOnce();
      },
    },
    signal,
  );
  await Promise.race([answered, giveUp(clock, signal)]);
  if (spec.exitOnForwardFailure) await granted;
  deps.report({ phase: 'up' });
  await granted;
  return await new Promise<never>(() => {});
}

/** A server that answers other things but not this one would leave us without a listener for ever. */
async function giveUp(clock: Clock, signal: AbortSignal): Promise<never> {
  await sleep(clock, ANSWER_MS, signal);
  throw new TunnelFailure('keepalive-lost', `the server did not say within ${ANSWER_MS / 1000} s whether it listens`);
}

const ANSWER_MS = 30_000;

const HEARTBEAT_SLACK_MS = 30_000;

function reportTarget(deps: SessionDeps, index: number, failure: TunnelFailure | null): void {
  const known = deps.state().forwards[index]?.targetFailure ?? null;
  if (failure === null && known === null) return;
  deps.reportForward(index, {
    targetFailure:
      failure === null
        ? null
        : { code: failure.code, message: failure.message, hint: failure.hint, at: deps.clock.wall() },
  });
}

function findForward(forwards: readonly ForwardState[], listen: Endpoint): number {
  return forwards.findIndex(({ spec, boundPort }) => {
    if (spec.listen.type === 'unix') return listen.type === 'unix' && listen.path === spec.listen.path;
    return listen.type === 'tcp' && listen.host === spec.listen.host && listen.port === (boundPort ?? spec.listen.port);
  });
}

/** Gives the listeners back before the connection ends, as long as the server answers quickly. */
async function sayGoodbye(connection: SshConnection, forwards: readonly ForwardState[], clock: Clock): Promise<void> {
  const patience = new AbortController();
  const given = forwards
    .filter((forward) => forward.state === 'up')
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

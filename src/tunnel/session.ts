import type { SessionDeps } from './session-deps.ts';
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { abortable, childController } from '../lib/async/abort.ts';
import { createBell } from '../lib/async/listeners.ts';
import type { Clock } from '../lib/async/clock.ts';
import { TunnelFailure } from '../model/failure.ts';
import { createVerifier } from '../forwarding/verify/listener-verifier.ts';
import { keepServing } from './serve.ts';
import { describeAccepted, type AuthReport } from '../connection/auth/auth-report.ts';
import { AUTH_TIMEOUT_MS, prepareLogin } from '../connection/route/login.ts';
import { createReception, type Reception } from '../forwarding/visitors/visitors.ts';
import { ownKeys } from '../forwarding/verify/own-keys.ts';
import { prepareRoute, type Route } from '../connection/route/route.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { SshConnection, Visitor } from '../connection/ssh/connection.ts';
import type { ForwardState, TunnelState } from '../model/state.ts';
import { watchConnection } from '../connection/ssh/keepalive.ts';

/**
 * One connection from the first packet to its death: connects, authenticates, asks for the forwards, serves visitors and watches
 * that the server lives. Never resolves: it rejects with the TunnelFailure that ended it, or with the signal's reason.
 */
export async function runSession(spec: TunnelSpec, deps: SessionDeps, signal: AbortSignal): Promise<never> {
  const { clock } = deps;
  const over = childController(signal);
  const visitorsOver = childController(deps.visitorsEnd);
  // Each visitor listens to it; Node warns of more than ten.
  setMaxListeners(0, over.signal, visitorsOver.signal);
  let route: Route | null = null;
  let connection: SshConnection | null = null;
  let reception: Reception | null = null;
  try {
    // What is wrong on this side is found before anybody is bothered. To decrypt keys may take a minute each.
    deps.heartbeat(PREPARATION_MS);
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
      onAuthenticated: (report: AuthReport) => deps.report({ login: describeAccepted(report) || null }),
      onVisitor: (visitor: Visitor) => {
        // It is called in the midst of ssh2's parser.
        try {
          receive(visitor);
        } catch (error) {
          deps.log.error({ code: 'internal', error }, 'a bug turned a visitor away');
          visitor.reject();
        }
      },
    };
    const loggedIn = login(route, events, signal).catch((error: unknown) => {
      throw error instanceof TunnelFailure && spec.entry.type === 'command' && spec.jumps.length === 0
        ? new TunnelFailure(error.code, `through the proxyCommand: ${error.message}`, { cause: error })
        : error;
    });
    connection = await Promise.race([route.lost, loggedIn]);
    const verifier = createVerifier(
      connection,
      {
        clock,
        nonce: () => randomBytes(16).toString('hex'),
        ownKeys: (listen, type) => ownKeys(spec, listen, type, { clock, hostKeys: deps.device.hostKeys }, over.signal),
      },
      over.signal,
    );
    const doubtOver = createBell();
    const targetFailed = createBell();
    const report = (change: Partial<TunnelState>) => {
      const inDoubt = deps.state().silentSince !== null;
      deps.report(change);
      if (inDoubt && change.silentSince === null) doubtOver.ring();
    };
    reception = createReception(
      spec,
      connection,
      verifier,
      { ...deps, onTargetFailed: targetFailed.ring },
      visitorsOver.signal,
    );
    receive = reception.receive;
    deps.report({ phase: 'forwarding' });
    await Promise.race([connection.lost, route.lost, abortable(deps.beforeListening(), signal)]);
    signal.throwIfAborted();
    return await Promise.race([
      connection.lost,
      route.lost,
      watchConnection(connection, spec, { ...deps, report, answers: route.answers }, over.signal),
      keepServing(connection, spec, { ...deps, verifier, reception, doubtOver, targetFailed }, over.signal),
    ]);
  } catch (error) {
    if (connection === null || !(error instanceof TunnelFailure)) throw error;
    throw deps.explainEnd(error, connection.idleMs());
  } finally {
    if (connection !== null && signal.aborted) {
      const served = reception?.ended ?? (() => Promise.resolve());
      await sayGoodbye(connection, route, { forwards: deps.state().forwards, served }, clock, deps.visitorsEnd);
    }
    connection?.destroy();
    for (const controller of [over, visitorsOver]) {
      controller.abort(new TunnelFailure('disconnected', 'the session is over'));
      controller.dispose();
    }
    await Promise.all([within(reception?.ended() ?? Promise.resolve(), VISITORS_END_MS, clock), route?.destroy()]);
    reception?.force();
  }
}

/** All of them hear of the end at once; who is not gone by then has run into a bug. */
const VISITORS_END_MS = 1000;

const PREPARATION_MS = 300_000;
const HEARTBEAT_SLACK_MS = 30_000;

/**
 * Gives the listeners back, lets those who are being served come to their end, and says goodbye to all servers on the way, as long as
 * they answer quickly.
 */
async function sayGoodbye(
  connection: SshConnection,
  route: Route | null,
  { forwards, served }: { readonly forwards: readonly ForwardState[]; served(): Promise<void> },
  clock: Clock,
  visitorsEnd: AbortSignal,
): Promise<void> {
  const given = forwards
    .filter((forward) => forward.state === 'up' && forward.spec.kind === 'remote')
    .map(({ spec: { listen }, boundPort }) =>
      connection.unlisten(listen.type === 'tcp' ? { ...listen, port: boundPort ?? listen.port } : listen),
    );
  await within(Promise.all(given), UNLISTEN_MS, clock);
  const lost = [connection.lost, ...(route === null ? [] : [route.lost])];
  await abortable(Promise.race([served(), ...lost]), visitorsEnd).catch(() => {});
  const goodbye = async () => {
    await connection.close();
    await route?.close();
  };
  await within(goodbye(), GOODBYE_MS, clock);
}

const UNLISTEN_MS = 500;
const GOODBYE_MS = 700;

/** Waits for the work, but no longer than this, whatever comes of it. */
function within(work: Promise<unknown>, ms: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.timer(ms, resolve);
    void work
      .catch(() => {})
      .finally(() => {
        cancel();
        resolve();
      });
  });
}

import { childController } from '../../lib/async/abort.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { acceptedCertificate, describeAccepted } from '../auth/auth-report.ts';
import { AUTH_TIMEOUT_MS, type LoginDeps, prepareLogin } from '../route/login.ts';
import { placing, prepareRoute, type Route, type RouteDeps } from '../route/route.ts';
import type { Visitor } from '../ssh/connection.ts';
import { loginOf } from './same-login.ts';
import { type Member, type Share, SharedConnection } from './shared-connection.ts';
import { waitFor, firstToEnd } from '../../lib/async/scope.ts';

export interface OpenDeps extends RouteDeps, Omit<LoginDeps, 'name' | 'device' | 'asksFirst'> {
  readonly device: RouteDeps['device'] & NonNullable<LoginDeps['device']>;
  /** Offers the logged-in connection to tunnels with the same login; the result withdraws it. */
  offer(login: string, connection: SharedConnection): () => void;
  onAuthenticating(): void;
  /** The connection has ended, some time after the login, with everything that it carried. */
  onOver(): void;
}

/**
 * Prepares a connection to the tunnel's server, so that a problem on this side is found before the server is bothered;
 * the function that it returns connects and logs in, once, and heeds its signal until then. Rejects with a
 * TunnelFailure.
 */
export async function prepareConnection(
  spec: TunnelSpec,
  deps: OpenDeps,
): Promise<(member: Member, signal: AbortSignal) => Promise<Share>> {
  const login = await prepareLogin(spec, { ...deps, name: spec.name });
  const openRoute = await prepareRoute(spec, deps);
  const isBehindCommand = spec.entry.type === 'command' && spec.jumps.length === 0;
  return async (member, signal) => {
    // From the login on the connection may outlive the tunnel that opened it.
    const over = childController(signal);
    let route: Route | null = null;
    let shared: SharedConnection | null = null;
    const events = {
      onAuthenticating: deps.onAuthenticating,
      onVisitor: (visitor: Visitor) => (shared === null ? visitor.reject() : shared.dispatch(visitor)),
    };
    try {
      route = await openRoute(over.signal);
      deps.heartbeat(spec.connectTimeoutMs + AUTH_TIMEOUT_MS + HEARTBEAT_SLACK_MS);
      const reached = route;
      const logIn = (own: AbortSignal) => {
        const work = () => login(reached, events, own);
        return isBehindCommand ? placing('through the proxyCommand', work) : work();
      };
      const { connection, report } = await firstToEnd(over.signal, [waitFor(reached.lost), logIn]);
      over.dispose();
      let withdraw = () => {};
      const onOver = () => {
        withdraw();
        over.abort(new TunnelFailure('disconnected', 'the session is over'));
        deps.onOver();
      };
      const accepted = { login: describeAccepted(report) || null, certificate: acceptedCertificate(report) };
      shared = new SharedConnection({ connection, route, spec, openedBy: spec.name, ...accepted }, { ...deps, onOver });
      const share = shared.join(member);
      withdraw = deps.offer(loginOf(spec), shared);
      return share;
    } catch (error) {
      over.abort(new TunnelFailure('disconnected', 'the session is over'));
      over.dispose();
      await route?.destroy();
      throw error;
    }
  };
}

const HEARTBEAT_SLACK_MS = 30_000;

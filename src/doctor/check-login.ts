import { setMaxListeners } from 'node:events';
import { deadline } from '../lib/async/deadline.ts';
import { firstToEnd, waitFor, withScope } from '../lib/async/scope.ts';
import { familyOf } from '../net/address-family.ts';
import { dialTarget } from '../net/dial-target.ts';
import { proxyHeader } from '../forwarding/visitors/proxy-protocol.ts';
import { asFailure, TunnelFailure } from '../model/failure.ts';
import type { VisitorHandler, Verifier } from '../forwarding/verify/listener-verifier.ts';
import { createTunnelVerifier } from '../forwarding/verify/tunnel-verifier.ts';
import { listenLocally } from '../forwarding/listeners/listen-locally.ts';
import { type Authenticated, type LoginEvents, prepareLogin } from '../connection/route/login.ts';
import { refusalReason } from '../forwarding/listeners/refusal-reason.ts';
import type { Route } from '../connection/route/route.ts';
import { openRouteOnce, type RouteOnce } from '../connection/route/route-once.ts';
import { certificateText, type HostCertificate } from '../model/host-certificate.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import type { ForwardSpec, TunnelSpec } from '../model/spec.ts';
import type { SshConnection, Visitor } from '../connection/ssh/connection.ts';
import { acceptedCertificate, describeAccepted } from '../connection/auth/auth-report.ts';
import type { Step } from './check.ts';
import { certificateProblem, type CertificateFacts } from '../model/certificate.ts';
import { loginResult, type LoginResult } from './steps-from-status.ts';
import { algorithmsStep } from './key-exchange.ts';
import type { CheckDeps, ReportStep } from './types.ts';
import { refused, roundTrip } from './listener-steps.ts';
import { sourcePortStep } from './source-port.ts';

interface LoginDeps extends CheckDeps {
  readonly report: ReportStep;
}

/**
 * Logs in once, asks for each forward, checks that it leads here, and cancels it. Rejects with the TunnelFailure that ended it.
 */
export function checkLogin(spec: TunnelSpec, deps: LoginDeps, parent: AbortSignal): Promise<void> {
  return withScope(parent, async ({ signal }) => {
    // Every probe of a listener listens to it.
    setMaxListeners(0, signal);
    const { report } = deps;
    let route: RouteOnce | null = null;
    let connection: SshConnection | null = null;
    let agreed = '';
    const reportHandshake = (software: string) => {
      report('banner', 'ok', software === '' ? 'it is an SSH server' : software);
      report(...algorithmsStep(agreed, agreed.split(', ')[0] ?? '', software, spec));
      report('host key', ...hostKey(spec, connection?.algorithms.hostCertificate ?? null));
    };
    try {
      const login = await prepareLogin(spec, { ...deps, name: spec.name });
      route = await openRouteOnce(spec, deps, signal);
      const reached = route;
      let intercept = (visitor: Visitor): void => visitor.reject();
      const events: LoginEvents = {
        onAuthenticating: (algorithms) => (agreed = algorithms),
        onVisitor: (visitor) => intercept(visitor),
      };
      const loggedIn = await firstToEnd<Authenticated>(signal, [
        waitFor(reached.lost),
        (own) => login(reached, events, own),
      ]);
      connection = loggedIn.connection;
      const certificate = acceptedCertificate(loggedIn.report);
      reached.turn?.accepted();
      reportHandshake(connection.serverVersion);
      report('authentication', ...authentication(describeAccepted(loggedIn.report), certificate, deps.clock.wall()));
      const verifier = createTunnelVerifier(spec, connection, deps, signal);
      intercept = (visitor) => verifier.intercept(visitor, REJECT_VISITORS);
      await checkForwards(spec, { connection, certificate, verifier }, reached, deps, signal);
      report(...sourcePortStep(spec, deps.sourcePort));
    } catch (error) {
      // Authentication had begun: the steps before it succeeded.
      if (connection === null && agreed !== '') reportHandshake('');
      route?.turn?.notAccepted(asFailure(error));
      throw error;
    } finally {
      if (connection !== null) await connection.close();
      connection?.destroy();
      await route?.destroy();
    }
  });
}

function authentication(accepted: string, certificate: CertificateFacts | null, wall: number): LoginResult {
  const seen = accepted === '' ? 'the server asked for nothing' : accepted;
  return loginResult(seen, certificate === null ? null : certificateProblem(certificate, wall));
}

interface LoggedIn {
  readonly connection: SshConnection;
  /** That of the login; null for a login without. */
  readonly certificate: CertificateFacts | null;
  readonly verifier: Verifier;
}

async function checkForwards(
  spec: TunnelSpec,
  login: LoggedIn,
  route: Route,
  deps: LoginDeps,
  signal: AbortSignal,
): Promise<void> {
  for (const forward of spec.forwards) {
    // No keepalive runs here.
    await deadline(
      deps.clock,
      ANSWER_MS,
      () => new TunnelFailure('keepalive-lost', `the server did not answer within ${ANSWER_MS / 1000} s`),
      (over) =>
        firstToEnd<void>(over, [
          waitFor(login.connection.lost),
          waitFor(route.lost),
          waitFor(checkForward(forward, spec, login, deps)),
        ]),
      signal,
    );
  }
  for (const forward of spec.forwards) await checkTarget(forward, spec, deps, signal);
}

const ANSWER_MS = 30_000;

const REJECT_VISITORS: VisitorHandler = {
  hasRoom: () => true,
  speaksLast: () => false,
  accept: (visitor) => visitor.reject(),
  acceptLater: (_, later) => void later.then((found) => found?.reject()),
};

async function checkForward(
  { kind, listen }: ForwardSpec,
  spec: TunnelSpec,
  { connection, certificate, verifier }: LoggedIn,
  { report }: LoginDeps,
): Promise<void> {
  const name = formatEndpoint(listen);
  if (kind !== 'remote') {
    try {
      (
        await listenLocally(listen, { family: familyOf(spec), replace: false, mask: 0o177 }, (socket) =>
          socket.destroy(),
        )
      ).close();
      report('forward', 'ok', `this device can listen on ${name}`);
    } catch (error) {
      report(
        'forward',
        'fail',
        `this device cannot listen on ${name}: ${asFailure(error).message}`,
        'Find the program that listens there (`ss -ltnp`), or choose another port.',
      );
    }
    return;
  }
  let port: number;
  try {
    port = await connection.listen(listen);
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code !== 'forward-refused') throw failure;
    const identify = (at: number) => verifier.identify(listen, at);
    report('forward', ...refused(failure, await refusalReason(listen, false, certificate, identify)));
    report('round trip', 'skip', `${name}: not tried, because the forward failed`);
    return;
  }
  try {
    const isChosen = listen.type === 'tcp' && listen.port === 0;
    report('forward', 'ok', `the server listens on ${name}${isChosen && port !== 0 ? ` (port ${port})` : ''}`);
    const found = await verifier.verify(listen, port);
    const exposed = found.type === 'ours' && (await verifier.isExposed(listen, port));
    report('round trip', ...roundTrip(name, found, exposed));
  } finally {
    await connection.unlisten(listen.type === 'tcp' ? { ...listen, port } : listen);
  }
}

function hostKey(
  { strictHostKeyChecking: strict }: TunnelSpec,
  certificate: HostCertificate | null,
): [Step['result'], string, string?] {
  if (certificate !== null) return ['ok', `its authority is in known_hosts: ${certificateText(certificate)}`];
  if (strict === 'no') {
    return [
      'warn',
      'any key is accepted (strictHostKeyChecking: no)',
      'Set strictHostKeyChecking: yes, and add the key to userKnownHostsFile.',
    ];
  }
  return ['ok', strict === 'yes' ? 'it is in known_hosts' : 'it is in known_hosts, perhaps since now (accept-new)'];
}

/** Dials the target of a remote forward from here. */
export async function checkTarget(
  forward: ForwardSpec,
  spec: TunnelSpec,
  { clock, report }: LoginDeps,
  signal: AbortSignal,
): Promise<void> {
  const { kind, target } = forward;
  if (kind !== 'remote' || target.type === 'socks') return;
  try {
    const socket = await dialTarget(target, spec, clock, signal);
    socket.resume().end(proxyHeader(forward, null) ?? '');
    report('target', 'ok', `${formatEndpoint(target)} answers`);
  } catch (error) {
    const failure = asFailure(error);
    report('target', 'fail', failure.message, failure.hint);
  }
}

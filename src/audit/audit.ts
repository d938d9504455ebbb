import { abortable } from '../lib/async/abort.ts';
import { firstToEnd, waitFor } from '../lib/async/scope.ts';
import { deadline } from '../lib/async/deadline.ts';
import { printable } from '../lib/text.ts';
import { accessOfAll } from '../server-rules/access.ts';
import { sharesKey } from '../server-rules/same-login.ts';
import { asFailure, TunnelFailure } from '../model/failure.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatServer } from '../model/state.ts';
import { attemptsFor, type Attempt } from './attempts/attempts.ts';
import type { ServerFacts } from './files/facts.ts';
import { judgeFacts, type JudgeOptions } from './files/judge.ts';
import type { Finding, NotTried, Observation, TunnelAudit } from './findings/finding.ts';
import { neededBy } from './findings/hole.ts';
import { loginFacts, loginFindings } from './findings/login-findings.ts';
import { KNOWN_SOCKETS } from './attempts/sockets.ts';
import { mergeFindings, untried } from './verdict.ts';
import { openLogin, type OpenLogin, type OpenLoginDeps } from '../connection/route/open-login.ts';

export interface AuditDeps extends OpenLoginDeps {
  /** Unix sockets that the server may have. */
  readonly knownSockets?: readonly string[];
  /** What an administrator read there, or null. */
  readonly files?: ServerFiles | null;
}

export interface ServerFiles extends Pick<JudgeOptions, 'keys' | 'authorities' | 'known'> {
  readonly facts: ServerFacts;
}

/**
 * Tries what the holder of this tunnel's key could do on its server. `tunnels` are all of the configuration: what those need that share
 * the key is needed, too. A failure becomes part of the result; rejects with a UserError where the server's rules for the tunnel cannot
 * be written at all.
 */
export async function auditTunnel(
  tunnel: TunnelSpec,
  tunnels: readonly TunnelSpec[],
  deps: AuditDeps,
  signal: AbortSignal,
): Promise<TunnelAudit> {
  const sameKey = [tunnel, ...tunnels.filter((other) => other.name !== tunnel.name && sharesKey(tunnel, other))];
  const spec = { ...tunnel, forwards: sameKey.flatMap(({ forwards }) => forwards) };
  const access = accessOfAll(sameKey);
  const needed = neededBy(access, spec);
  const attempts = attemptsFor(spec, access, deps.clock, deps.knownSockets ?? KNOWN_SOCKETS).filter(
    ({ hole }) => !needed.has(hole),
  );
  const files = deps.files ?? null;
  const judged = files && judgeFacts(files.facts, { ...files, access, forwards: spec.forwards });
  const reading = { sure: judged?.problems.length === 0, readFiles: judged !== null };
  const logins = createLogins(spec, deps, signal);
  let first: OpenLogin;
  let tried: Awaited<ReturnType<typeof tryAll>>;
  try {
    first = await logins.get();
    tried = await tryAll(attempts, logins, deps, signal);
  } catch (error) {
    signal.throwIfAborted();
    const nothing = { serverVersion: null, login: null, findings: [], notTried: [] };
    return { name: spec.name, failure: asFailure(error), ...nothing, ...reading };
  } finally {
    await logins.end();
  }
  const { report, connection } = first;
  const ofLogin = loginFindings(report).filter(({ hole }) => !needed.has(hole));
  return {
    name: spec.name,
    serverVersion: connection.serverVersion,
    login: loginFacts(report),
    failure: null,
    findings: mergeFindings([...tried.findings, ...ofLogin], judged, needed),
    ...reading,
    notTried: [
      ...[...needed].map(([what, reason]) => ({ what, reason })),
      ...tunnel.jumps.map((jump) => ({ what: formatServer(jump), reason: 'only the last server of the route is' })),
      ...(reading.sure ? [] : Array.from({ length: tried.unseen }, () => UNSEEN)),
      ...untried(judged, printable(spec.user)),
    ],
  };
}

/** `unseen` is the number of attempts that could not see anything. */
async function tryAll(attempts: readonly Attempt[], logins: Logins, deps: AuditDeps, signal: AbortSignal) {
  const findings: Finding[] = [];
  let unseen = 0;
  let failedInARow = 0;
  for (const attempt of attempts) {
    const seen: Observation | null =
      failedInARow < MAX_IN_VAIN ? await tryOnce(attempt, logins, deps, signal) : GIVEN_UP;
    failedInARow = seen?.verdict === 'unknown' && logins.current() === null ? failedInARow + 1 : 0;
    if (seen !== null) findings.push({ hole: attempt.hole, ...seen });
    else unseen += 1;
  }
  return { findings, unseen };
}

/** After so many failed connections in a row the server is left alone. */
const MAX_IN_VAIN = 3;

const GIVEN_UP: Observation = { verdict: 'unknown', detail: 'not tried: the server did not answer before' };

const UNSEEN: NotTried = {
  what: 'whether other machines reach the listeners that are for the server itself (GatewayPorts yes)',
  reason: 'that cannot be seen from here',
};

/** A connection may end because of the attempt before: the attempt is repeated once on a new one. */
async function tryOnce(
  attempt: Attempt,
  logins: Logins,
  deps: AuditDeps,
  signal: AbortSignal,
): Promise<Observation | null> {
  for (let tries = 1; ; tries += 1) {
    let login: OpenLogin;
    try {
      login = await logins.get();
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = asFailure(error);
      return { verdict: 'unknown', detail: `no connection: ${code}: ${message}` };
    }
    try {
      const run = (own: AbortSignal) =>
        firstToEnd<Observation | null>(own, [
          ...login.lost.map((lost) => waitFor(lost)),
          (over) => abortable(attempt.run(login, over), over),
        ]);
      return await deadline(deps.clock, ATTEMPT_MS, () => TOO_LATE, run, signal);
    } catch (error) {
      signal.throwIfAborted();
      await logins.end();
      const failure = asFailure(error);
      if (failure === TOO_LATE || tries === 2) return { verdict: 'unknown', detail: failure.message };
    }
  }
}

const ATTEMPT_MS = 12_000;

const TOO_LATE = new TunnelFailure('keepalive-lost', `the server did not answer within ${ATTEMPT_MS / 1000} s`);

type Logins = ReturnType<typeof createLogins>;

/** One login at a time, and a new one where the last has ended. */
function createLogins(spec: TunnelSpec, deps: OpenLoginDeps, signal: AbortSignal) {
  let current: OpenLogin | null = null;
  let failure: unknown = null;
  return {
    get: async (): Promise<OpenLogin> => {
      // A server that refused a login is not asked again and again.
      if (failure !== null) throw failure;
      try {
        return (current ??= await openLogin(spec, deps, signal));
      } catch (error) {
        failure = error;
        throw error;
      }
    },
    current: () => current,
    /** Closes the present one. */
    end: async () => {
      const login = current;
      current = null;
      await login?.close();
    },
  };
}

import { deadline } from '../../lib/async/deadline.ts';
import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { openLogin, type AuditLoginDeps } from '../attempts/login.ts';
import { readFacts, type ServerFacts } from './facts.ts';
import { READER, readerScript, type Question } from './script.ts';

/** Logs in as an administrator and reads what the server allows. A failure becomes part of the result. */
export async function readServer(
  admin: TunnelSpec,
  question: Question,
  deps: AuditLoginDeps,
  signal: AbortSignal,
): Promise<ServerFacts> {
  const nothing = (problem: string): ServerFacts => ({
    rules: new Map(),
    keys: [],
    otherAccounts: [],
    hasHome: false,
    problems: [problem],
  });
  try {
    const login = await openLogin(admin, deps, signal);
    try {
      const ran = login.connection.run(READER, readerScript(question), MAX_OUTPUT).then(({ stdout }) => stdout);
      const output = await deadline(
        deps.clock,
        PATIENCE_MS,
        () => new TunnelFailure('keepalive-lost', `the server did not answer within ${PATIENCE_MS / 1000} s`),
        (over) =>
          firstToEnd<Buffer>(
            over,
            [...login.lost, ran].map((promise) => waitFor<Buffer>(promise)),
          ),
        signal,
      );
      return readFacts(output.toString('utf8'));
    } finally {
      await login.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = asFailure(error);
    return nothing(`${code}: ${message}`);
  }
}

/** Enough for a small machine with many accounts. */
const PATIENCE_MS = 60_000;
const MAX_OUTPUT = 2 * 1024 * 1024;

import { asFailure } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { openLogin, type OpenLoginDeps, runThere } from '../../connection/route/open-login.ts';
import { readFacts, type ServerFacts } from './facts.ts';
import { READER, readerScript, type Question } from './script.ts';

/** Logs in as an administrator and reads what the server allows. A failure becomes part of the result. */
export async function readServer(
  admin: TunnelSpec,
  question: Question,
  deps: OpenLoginDeps,
  signal: AbortSignal,
): Promise<ServerFacts> {
  try {
    const login = await openLogin(admin, deps, signal);
    try {
      const limits = { limit: MAX_OUTPUT, ms: PATIENCE_MS, clock: deps.clock };
      const { stdout } = await runThere(login, READER, readerScript(question), limits, signal);
      return readFacts(stdout.toString('utf8'));
    } finally {
      await login.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = asFailure(error);
    return { rules: new Map(), keys: [], otherAccounts: [], hasHome: false, problems: [`${code}: ${message}`] };
  }
}

/** Enough for a small machine with many accounts. */
const PATIENCE_MS = 60_000;
const MAX_OUTPUT = 2 * 1024 * 1024;

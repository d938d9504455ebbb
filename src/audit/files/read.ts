import { asFailure } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { openLogin, type AuditLoginDeps } from '../attempts/login.ts';
import { readFacts, type ServerFacts } from './facts.ts';
import { READER, readerScript, type Question } from './script.ts';

/**
 * Logs in as an administrator and reads what the server allows. What goes wrong becomes part of the answer. `admin` is the way there;
 * its forwards are not made.
 */
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
      const enough = new Promise<never>((_, reject) => {
        const cancel = deps.clock.timer(PATIENCE_MS, () => reject(new Error('the server did not answer in time')));
        signal.addEventListener('abort', cancel, { once: true });
        login.lost.catch(cancel);
      });
      const ran = login.connection.run(READER, readerScript(question), MAX_OUTPUT);
      const { stdout } = await Promise.race([ran, login.lost, enough]);
      return readFacts(stdout.toString('utf8'));
    } finally {
      await login.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = asFailure(error);
    return nothing(`${code}: ${message}`);
  }
}

/** A small machine with many accounts. */
const PATIENCE_MS = 60_000;
const MAX_OUTPUT = 2 * 1024 * 1024;

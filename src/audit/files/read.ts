import { asFailure } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { visitServer, type VisitDeps } from '../attempts/connection.ts';
import { readFacts, type ServerFacts } from './facts.ts';
import { READER, readerScript, type Question } from './script.ts';

/**
 * Logs in as an administrator and reads what the server allows. What goes wrong becomes part of the answer. `admin` is the way there;
 * its forwards are not made.
 */
export async function readServer(
  admin: TunnelSpec,
  question: Question,
  deps: VisitDeps,
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
    const visit = await visitServer(admin, deps, signal);
    try {
      const enough = new Promise<never>((_, reject) => {
        const cancel = deps.clock.timer(PATIENCE_MS, () => reject(new Error('the server did not answer in time')));
        signal.addEventListener('abort', cancel, { once: true });
        visit.lost.catch(cancel);
      });
      const ran = visit.connection.run(READER, readerScript(question), MAX_OUTPUT);
      const { stdout } = await Promise.race([ran, visit.lost, enough]);
      return readFacts(stdout.toString('utf8'));
    } finally {
      await visit.leave();
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

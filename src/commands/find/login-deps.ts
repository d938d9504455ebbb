import { createIdentityCache } from '../../connection/auth/identity-cache.ts';
import type { OpenLoginDeps } from '../../connection/route/open-login.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { formatLogLine } from '../../lib/log/format.ts';
import { createLogger, type LogLevel } from '../../lib/log/log.ts';
import { icmpRefusals } from '../../host/icmp-refusals.ts';
import { createTurns } from '../../net/pacing/turns.ts';

/** What a command logs in with by itself. Its log goes to standard error from this level on; at `fatal` there is nothing in it. */
export function loginDeps(level: LogLevel): OpenLoginDeps {
  const log = createLogger(level, (line) => process.stderr.write(`${formatLogLine(line, false)}\n`));
  return { clock: systemClock, turns: processTurns, log, identities: createIdentityCache() };
}

/** The turns of a command that dials by itself, once for the process. */
export const processTurns = createTurns({ clock: systemClock, random: Math.random, icmpRefusals });

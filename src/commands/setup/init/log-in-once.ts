import { createIdentityCache } from '../../../connection/auth/identity-cache.ts';
import { openLogin } from '../../../connection/route/open-login.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { NEVER } from '../../../lib/async/never.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { createLogger } from '../../../lib/log/log.ts';
import { UserError } from '../../../lib/user-error.ts';
import { asFailure, hintFor } from '../../../model/failure.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { processTurns } from '../../find/process-turns.ts';

/** A wrong key, host key or password shows without touching what works. Rejects with a UserError. */
export async function logInOnce(spec: TunnelSpec): Promise<void> {
  const log = createLogger('fatal', () => {});
  const deps = { clock: systemClock, turns: processTurns, log, identities: createIdentityCache() };
  try {
    const login = await openLogin(spec, deps, NEVER);
    await login.close();
  } catch (error) {
    const { code, message, hint } = asFailure(error);
    throw new UserError(`${spec.name}: ${code}: ${message}\n${hintFor(spec.name, hint)}`, EXIT.failed, {
      cause: error,
    });
  }
}

import { openLogin } from '../../connection/route/open-login.ts';
import { NEVER } from '../../lib/async/never.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { UserError } from '../../lib/user-error.ts';
import { asFailure, hintFor } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { loginDeps } from '../find/login-deps.ts';

/** A wrong key, host key or password shows without touching what works. Rejects with a UserError. */
export async function logInOnce(spec: TunnelSpec): Promise<void> {
  await asking(spec, spec.name, async () => {
    const login = await openLogin(spec, loginDeps('fatal'), NEVER);
    await login.close();
  });
}

/** Rejects with a UserError where the server of a tunnel, which `who` names, cannot be asked. */
export async function asking<T>({ name }: TunnelSpec, who: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    const { code, message, hint } = asFailure(error);
    throw new UserError(`${who}: ${code}: ${message}\n${hintFor(name, hint)}`, EXIT.failed, { cause: error });
  }
}

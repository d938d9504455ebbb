import { openLogin } from '../../../connection/route/open-login.ts';
import { NEVER } from '../../../lib/async/never.ts';
import { asFailure } from '../../../model/failure.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { loginDeps } from '../../find/login-deps.ts';

/** Whether the server accepts one of these keys. Rejects as accepts() does. */
export async function acceptsAny(tunnel: TunnelSpec, keys: readonly string[]): Promise<boolean> {
  for (const key of keys) if (await accepts(tunnel, key)) return true;
  return false;
}

/** False where the key is refused, or cannot be read. Rejects where the server was not reached. */
export async function accepts(tunnel: TunnelSpec, key: string): Promise<boolean> {
  return (await answerTo(tunnel, key)) === 'accepted';
}

/** What the server says of a key; `unread` where it was not asked, because the key cannot be read here. Rejects where it was not reached. */
export async function answerTo(tunnel: TunnelSpec, key: string): Promise<'accepted' | 'refused' | 'unread'> {
  try {
    await logIn(tunnel, key);
    return 'accepted';
  } catch (error) {
    const { code } = asFailure(error);
    if (code === 'auth-rejected') return 'refused';
    if (code === 'key-unreadable') return 'unread';
    throw error;
  }
}

/** Rejects where the server does not accept this key. */
export async function logIn(tunnel: TunnelSpec, key: string): Promise<void> {
  const login = await openLogin({ ...withKeys(tunnel, [key]), ...ALONE }, loginDeps('fatal'), NEVER);
  await login.close();
}

/** Nothing else may let the login in. */
const ALONE = { identitiesOnly: true, identityAgent: null, passwordFile: null } as const;

/** The tunnel with these keys in the place of its own; with none, as it is. */
export function withKeys(tunnel: TunnelSpec, identityFiles: readonly string[]): TunnelSpec {
  return identityFiles.length === 0 ? tunnel : { ...tunnel, identityFiles, identityFilesConfigured: true };
}

import { resolve } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { createIdentityCache } from '../../../connection/auth/identity-cache.ts';
import { loadCredentials } from '../../../connection/auth/credentials.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { UserError } from '../../../lib/user-error.ts';
import { asFailure } from '../../../model/failure.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { askFor, type Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';

/** How the tunnel logs in: with its key as it is, or as a person answered. */
export type KeyUse =
  | { readonly type: 'as-it-is' }
  | { readonly type: 'passphrase-file'; readonly path: string }
  | { readonly type: 'own-key' };

/**
 * Leads on from a key that is encrypted, because nobody types its passphrase when the tunnel logs in. `spec` is the tunnel with that key;
 * `mayBeOwn` is whether another key would do. Throws a UserError where there is no terminal to ask on, and where the passphraseFile that
 * was given does not open the key.
 */
export async function useOfKey(spec: TunnelSpec, mayBeOwn: boolean, questions: Questions): Promise<KeyUse> {
  const problem = await whyClosed(spec);
  if (problem === null) return { type: 'as-it-is' };
  const { interactive, yes, ask } = questions;
  if (!interactive || yes || spec.passphraseFile !== null)
    throw new UserError(`${problem}\n${NOBODY}. Use ${waysOut(mayBeOwn)}`, EXIT.usage);
  report(`${problem}\n  ${NOBODY}`);
  return await askFor(
    ask,
    `The path of a file of mode 0600 with the passphrase${mayBeOwn ? ', or own: the tunnel gets a key of its own' : ''}`,
    mayBeOwn ? 'own' : null,
    async (answer): Promise<KeyUse> => {
      if (mayBeOwn && answer === 'own') return { type: 'own-key' };
      const path = fromHere(answer);
      const closed = await whyClosed({ ...spec, passphraseFile: path });
      if (closed !== null) throw new UserError(closed, EXIT.usage);
      return { type: 'passphrase-file', path };
    },
    waysOut(mayBeOwn),
  );
}

/** Not from the folder of the configuration. */
function fromHere(path: string): string {
  return resolve(path.replace(/^~(?=\/)/, systemEnvironment().home));
}

const NOBODY = 'nobody types a passphrase when the tunnel logs in';

function waysOut(mayBeOwn: boolean): string {
  const ways = [
    'a file of mode 0600 with the passphrase (--set passphraseFile=FILE)',
    'an agent that has the key whenever the tunnel runs (--set identityAgent=SOCKET)',
  ];
  return (mayBeOwn ? ['a key of its own for the tunnel (without -i)', ...ways] : ways).join(', or ');
}

/** Null where the tunnel can log in with it, or cannot for another reason, which doctor finds. */
async function whyClosed(spec: TunnelSpec): Promise<string | null> {
  try {
    await loadCredentials(spec, createIdentityCache(), systemClock);
    return null;
  } catch (error) {
    const { code, message } = asFailure(error);
    return code === 'key-passphrase' || message.startsWith('passphraseFile ') ? message : null;
  }
}

import { dirname, resolve } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { createIdentityCache } from '../../../connection/auth/identity-cache.ts';
import { loadCredentials } from '../../../connection/auth/credentials.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { wrongUsage } from '../../../lib/user-error.ts';
import { asFailure } from '../../../model/failure.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import type { NewTunnel } from '../../../setup/new-config.ts';
import { checkKey } from '../../../setup/new-key.ts';
import { askFor, type Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { type Comparison, compareWithFile } from './compare.ts';
import { usesNewKey } from './make-key.ts';
import type { Settings } from './set.ts';
import type { InitOptions } from './task.ts';
import { isSystems, ownKey, type Wanted } from './wanted.ts';

/** What is made, once a key that is encrypted was dealt with. */
export async function withKeyThatOpens(
  file: string,
  { tunnel: asked, keyFrom }: Pick<Wanted, 'tunnel' | 'keyFrom'>,
  options: InitOptions,
  settings: Settings,
  questions: Questions,
): Promise<{ readonly asked: NewTunnel; readonly keyFrom: string | null; readonly compared: Comparison }> {
  const compared = await compareWithFile(file, asked, options.jump, settings);
  if (usesNewKey(asked, compared)) await checkKey(asked.identityFile);
  const key = keyFrom ?? asked.identityFile;
  // A tunnel that a person wrote is as that person wants it.
  if (compared.existing !== null || !(await checkKey(key))) return { asked, keyFrom, compared };
  // The service has no agent of a login.
  const hasAgent = settings['identityAgent'] !== undefined || !isSystems(dirname(file));
  const spec = { ...compared.fresh, identityFiles: [key], ...(hasAgent ? {} : { identityAgent: null }) };
  const own = ownKey(file, asked.name);
  const mayBeOwn = options.i !== null && options.certificate === null && key !== own;
  const use = await useOfKey(spec, mayBeOwn, questions);
  if (use.type === 'as-it-is') return { asked, keyFrom, compared };
  const next =
    use.type === 'own-key'
      ? { tunnel: { ...asked, identityFile: own }, keyFrom: null }
      : { tunnel: { ...asked, more: { ...asked.more, passphraseFile: use.path } }, keyFrom };
  return await withKeyThatOpens(file, next, options, settings, questions);
}

/** How the tunnel logs in: with its key as it is, or as a person answered. */
type KeyUse =
  | { readonly type: 'as-it-is' }
  | { readonly type: 'passphrase-file'; readonly path: string }
  | { readonly type: 'own-key' };

/**
 * Leads on from a key that is encrypted, because nobody types its passphrase when the tunnel logs in. `spec` is the tunnel with that key;
 * `mayBeOwn` is whether another key would do. Throws a UserError where there is no terminal to ask on, and where the passphraseFile that
 * was given does not open the key.
 */
async function useOfKey(spec: TunnelSpec, mayBeOwn: boolean, questions: Questions): Promise<KeyUse> {
  const problem = await whyClosed(spec);
  if (problem === null) return { type: 'as-it-is' };
  const { interactive, yes, ask } = questions;
  if (!interactive || yes || spec.passphraseFile !== null)
    throw wrongUsage(`${problem}\n${NOBODY}. Use ${waysOut(mayBeOwn)}`);
  report(`${problem}\n  ${NOBODY}`);
  return await askFor(
    ask,
    `The path of a file of mode 0600 with the passphrase${mayBeOwn ? ', or own: the tunnel gets a key of its own' : ''}`,
    mayBeOwn ? 'own' : null,
    async (answer): Promise<KeyUse> => {
      if (mayBeOwn && answer === 'own') return { type: 'own-key' };
      const path = fromHere(answer);
      const closed = await whyClosed({ ...spec, passphraseFile: path });
      if (closed !== null) throw wrongUsage(closed);
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

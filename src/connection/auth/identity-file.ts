import type { ParsedKey } from 'ssh2';
import { asFailure, type TunnelFailure } from '../../model/failure.ts';
import { readPrivateFile } from './secret-file.ts';
import type { HeldKey } from './agent.ts';
import type { IdentityCache } from './identity-cache.ts';
import { inspectKeyFile, parsePublicBlob, type KeyFile } from './key-file.ts';

/**
 * The private key of a file, or the problem with it, and its public half where that can be found: the agent may have
 * the key.
 */
export async function loadIdentityFile(
  path: string,
  passphraseFile: string | null,
  passphrase: () => Promise<string | null>,
  cache: IdentityCache,
): Promise<LoadedFile> {
  let content: KeyFile | null = null;
  let exposed = false;
  try {
    const { bytes, exposure } = await readPrivateFile(path, 'identityFile');
    content = inspectKeyFile(bytes);
    exposed = exposure !== null && content.kind !== 'public';
    if (exposure !== null && exposed) throw exposure;
    const encrypted = 'encrypted' in content && content.encrypted;
    return { key: await cache.open(bytes, encrypted ? await passphrase() : null, path, passphraseFile) };
  } catch (error) {
    if (content === null || exposed) cache.drop(path);
    const publicKey = (content && publicHalf(content)) ?? (await readPublicKey(`${path}.pub`));
    return { key: null, failure: asFailure(error), publicKey, exposed };
  }
}

export type LoadedFile =
  | { readonly key: ParsedKey }
  | {
      readonly key: null;
      readonly failure: TunnelFailure;
      readonly publicKey: HeldKey | null;
      readonly exposed: boolean;
    };

async function readPublicKey(path: string): Promise<HeldKey | null> {
  try {
    return publicHalf(inspectKeyFile((await readPrivateFile(path, 'identityFile')).bytes));
  } catch {
    return null; // ssh-keygen writes it, but it is not needed
  }
}

function publicHalf(file: KeyFile): HeldKey | null {
  if (file.kind === 'public') return file.key;
  return file.kind === 'openssh' ? parsePublicBlob(file.header.publicBlob) : null;
}

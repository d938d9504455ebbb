import { generateKeyPairSync } from 'node:crypto';
import { access, lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { rawPrivateKey, rawPublicKey } from '../connection/ssh/raw-key.ts';
import { encodeEd25519 } from '../connection/auth/openssh-key.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { createFile } from '../lib/files/create-file.ts';
import { type PublicKeys, readPublicKeys } from './public-key.ts';
import { UserError } from '../lib/user-error.ts';
import { succeeds } from '../lib/async/succeeds.ts';

/**
 * Creates an Ed25519 key without a passphrase at this path, with its public half beside it. Resolves with false where a key exists.
 * Rejects as checkKey() does.
 */
export async function makeKey(path: string, comment: string): Promise<boolean> {
  const made = !(await checkKey(path));
  if (made) {
    makeDirectory(dirname(path));
    await createFile(path, newKey(comment), 0o600);
  }
  const [key] = await keysAt(path);
  // Also for a key whose creation was interrupted.
  if (!(await succeeds(lstat(`${path}.pub`))))
    await createFile(`${path}.pub`, `${[key.type, key.base64, key.comment].join(' ').trimEnd()}\n`, 0o644);
  return made;
}

/** Whether a key exists at this path. Rejects with a UserError where something else is there, or beside it. */
export async function checkKey(path: string): Promise<boolean> {
  if (await succeeds(access(path))) {
    await keysAt(path);
    return true;
  }
  if (await succeeds(lstat(path))) throw new UserError(`${path} is a dangling link: remove it`);
  // The private key may be held by an agent only.
  if (await succeeds(lstat(`${path}.pub`)))
    throw new UserError(`${path}.pub exists without its private key: restore the private key, or move this file away`);
  return false;
}

async function keysAt(path: string): Promise<PublicKeys['keys']> {
  const file = { identityFiles: [path], passphraseFile: null, identityFilesConfigured: true };
  return (await readPublicKeys(file)).keys;
}

function newKey(comment: string): string {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return encodeEd25519(rawPrivateKey(privateKey), rawPublicKey(publicKey), comment);
}

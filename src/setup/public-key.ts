import type { PublicKey } from '../server-rules/server-setup.ts';
import { fingerprint, keyTypeOf } from '../connection/known-hosts/key-blob.ts';
import { readText } from '../lib/files/read-file.ts';
import { escapeControls } from '../lib/text.ts';
import { readSecretFile } from '../connection/auth/secret-file.ts';
import type { ServerSpec } from '../model/spec.ts';
import { createIdentityCache } from '../connection/auth/identity-cache.ts';
import { loadIdentityFile } from '../connection/auth/identity-file.ts';
import { UserError } from '../lib/user-error.ts';

export interface PublicKeys {
  /** Each key once, in the order in which they are offered. */
  readonly keys: readonly [PublicKey, ...PublicKey[]];
  /** Why further keys of the tunnel could not be read. */
  readonly unread: readonly string[];
}

/**
 * The public halves of the keys that a tunnel logs in with. Each is taken from the private key, which is the one that is offered, or
 * where that cannot be read from the `.pub` beside it. Rejects with a UserError where there is none.
 */
export async function readPublicKeys(
  spec: Pick<ServerSpec, 'identityFiles' | 'passphraseFile' | 'identityFilesConfigured'>,
): Promise<PublicKeys> {
  const found = new Map<string, PublicKey>();
  const failures: string[] = [];
  const passphrase = async () =>
    spec.passphraseFile === null ? null : readSecretFile(spec.passphraseFile, 'passphraseFile');
  for (const path of spec.identityFiles) {
    const file = await loadIdentityFile(path, spec.passphraseFile, passphrase, createIdentityCache());
    const { key: own } = file;
    const key = own === null ? file.publicKey : { blob: own.getPublicSSH(), comment: own.comment };
    if (key !== null) {
      const base64 = key.blob.toString('base64');
      const comment = (await commentBeside(path, base64)) ?? key.comment;
      if (!found.has(base64)) found.set(base64, publicKeyOf(key.blob, comment));
    } else if (file.key === null) failures.push(escapeControls(file.failure.message));
  }
  const [first, ...rest] = found.values();
  // Most files of OpenSSH's default list do not exist.
  if (first !== undefined) return { keys: [first, ...rest], unread: spec.identityFilesConfigured ? failures : [] };
  throw new UserError(
    failures.length === 0
      ? "the tunnel has no identityFile, and the server is set up for a key: create one with `ssh-keygen -t ed25519 -N '' -f FILE`"
      : `no key of the tunnel can be read: ${failures.join('; ')}`,
  );
}

export function publicKeyOf(blob: Buffer, comment: string): PublicKey {
  return {
    type: keyTypeOf(blob),
    base64: blob.toString('base64'),
    comment: escapeControls(comment.trim()),
    fingerprint: fingerprint(blob),
  };
}

/** The comment in the `.pub` file, because in an encrypted private key it is encrypted too; null where the file holds another key. */
async function commentBeside(path: string, base64: string): Promise<string | null> {
  const [line = ''] = (await readText(`${path}.pub`).catch(() => '')).split('\n', 1);
  const [, blob, comment] = /^\S+\s+(\S+)\s*(.*)$/.exec(line) ?? [];
  return blob === base64 ? (comment ?? '') : null;
}

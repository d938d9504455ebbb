import type { PublicKey } from '../server-rules/server-setup.ts';
import { readText } from '../lib/files/read-small-file.ts';
import { escapeControls } from '../lib/text.ts';
import { readSecretFile } from '../connection/auth/secret-file.ts';
import type { ServerSpec } from '../model/spec.ts';
import { createIdentityCache } from '../connection/auth/identity-cache.ts';
import { loadIdentityFile } from '../connection/auth/identity-file.ts';
import { UserError } from '../lib/user-error.ts';

export interface PublicKeys {
  /** Each key once, in the order in which they are offered; at least one. */
  readonly keys: readonly [PublicKey, ...PublicKey[]];
  /** What else the tunnel may log in with that could not be read, and why. */
  readonly unread: readonly string[];
}

/**
 * The public halves of the keys that a tunnel logs in with. Each is taken from the private key where that can be read, since that is
 * the key which will be offered, and else from the `.pub` beside it. Throws a UserError where there is none at all.
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
    const key = file.key ?? file.publicKey;
    if (key !== null) {
      const base64 = key.getPublicSSH().toString('base64');
      const comment = (await commentBeside(path, base64)) ?? key.comment;
      if (!found.has(base64)) found.set(base64, { type: key.type, base64, comment: escapeControls(comment.trim()) });
    } else if (file.key === null) failures.push(escapeControls(file.failure.message));
  }
  const [first, ...rest] = found.values();
  // Of OpenSSH's own list most are not there.
  if (first !== undefined) return { keys: [first, ...rest], unread: spec.identityFilesConfigured ? failures : [] };
  throw new UserError(
    failures.length === 0
      ? "the tunnel has no identityFile: the server can be set up for a key only, made with `ssh-keygen -t ed25519 -N '' -f FILE`"
      : `no key of the tunnel can be read: ${failures.join('; ')}`,
  );
}

/** The comment in the `.pub` file, which a private key keeps to itself when it is encrypted; null where it is of another key. */
async function commentBeside(path: string, base64: string): Promise<string | null> {
  try {
    const [line = ''] = (await readText(`${path}.pub`)).split('\n', 1);
    const [, blob, comment] = /^\S+\s+(\S+)\s*(.*)$/.exec(line) ?? [];
    return blob === base64 ? (comment ?? '') : null;
  } catch {
    return null;
  }
}

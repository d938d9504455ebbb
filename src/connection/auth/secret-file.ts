import type { Stats } from 'node:fs';
import { resolve, sep } from 'node:path';
import { registerSecret } from '../../lib/secrets.ts';
import { shellWord } from '../../lib/shell-quote.ts';
import { errorCode, errorText } from '../../lib/text.ts';
import { copiesOf } from './systemd-credential.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { readWhole, withFile } from '../../lib/files/open-file.ts';

type ReadableKind = SecretFileKind | 'identityFile' | 'certificateFile';

export type SecretFileKind = 'passphraseFile' | 'passwordFile' | 'proxyPasswordFile';

/** Reads the first line of a file that only its owner may read. */
export async function readSecretFile(path: string, what: SecretFileKind): Promise<string> {
  const { bytes, exposure } = await readPrivateFile(path, what);
  if (exposure !== null) throw exposure;
  const [line = ''] = bytes.toString('utf8').split(/\r?\n/, 1);
  if (line === '')
    throw new TunnelFailure(
      'key-unreadable',
      `${what} ${path}: the first line, which should hold the secret, is empty`,
    );
  registerSecret(line);
  return line;
}

export interface PrivateFile {
  readonly bytes: Buffer;
  /** The reason for which the content must not be used: other users can read it. Null where they cannot. */
  readonly exposure: TunnelFailure | null;
}

/**
 * Reads a small regular file and checks which other users may read it. `what` is the option that names the file, for
 * messages. Where the file is root's, the service's copy of it is read, if there is one.
 */
export async function readPrivateFile(path: string, what: ReadableKind): Promise<PrivateFile> {
  const fail = (text: string, cause?: unknown) =>
    new TunnelFailure('key-unreadable', `${what} ${path} ${text}`, {
      cause,
      ...(errorCode(cause) === 'EACCES' ? { hint: what === 'certificateFile' ? CLOSED : DENIED } : {}),
    });
  try {
    return await readFile(path, path, fail);
  } catch (error) {
    const copies = copiesOf(path, process.env);
    if (copies.length === 0 || !(error instanceof TunnelFailure) || errorCode(error.cause) !== 'EACCES') throw error;
    for (const copy of copies) {
      const found = await readFile(copy, path, fail).catch((reason: unknown) => {
        if (reason instanceof TunnelFailure && isMissing(reason)) return null;
        throw reason;
      });
      if (found !== null) return found;
    }
    throw fail(NOT_HANDED_OVER, error.cause);
  }
}

/** A certificate is public; one that is renewed by a program of root may come without the right to read it. */
const CLOSED = 'A certificate is no secret: give it mode 0644, also where it is renewed (`umask 022`).';

/** Giving the file away would do harm where only sudo was forgotten. */
const DENIED =
  'Run this command with sudo. The daemon needs a file of its own user, with mode 0600; an installed service a file of root in /etc/tunneld, and `sudo tunneld reload` after a new one.';

const NOT_HANDED_OVER = 'belongs to root, and the service has no copy of it yet: run `sudo tunneld reload`';

type Fail = (text: string, cause?: unknown) => TunnelFailure;

/** `path` is what is read, `name` the path that people know. */
async function readFile(path: string, name: string, fail: Fail): Promise<PrivateFile> {
  try {
    return await withFile(path, async (file) => {
      const { stats } = file;
      if (!stats.isFile()) throw fail('is not a regular file');
      const bytes = await readWhole(file, MAX_BYTES);
      if (bytes === null) throw fail('is larger than 1 MiB, too large for a key or a password');
      const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
      const text = `has mode ${mode}, so that others can use it, and is ignored: run \`chmod 600 ${shellWord(name)}\` as its owner, or with sudo`;
      const exposed = isExposed(stats, process.getuid?.(), isCredential(path, process.env['CREDENTIALS_DIRECTORY']));
      return { bytes, exposure: exposed ? fail(text) : null };
    });
  } catch (error) {
    if (error instanceof TunnelFailure) throw error;
    throw fail(REASONS[errorCode(error) ?? ''] ?? `cannot be read: ${errorText(error)}`, error);
  }
}

const MAX_BYTES = 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: `may not be read by this user (uid ${process.getuid?.()})`,
  ENXIO: 'is not a regular file',
};

/** Whether a file could not be read because it does not exist. */
export function isMissing(failure: TunnelFailure): boolean {
  const code = errorCode(failure.cause);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/**
 * As ssh checks it (sshkey_perm_ok in OpenSSH's authfile.c): our own file must be closed to group and others; a file of
 * another user that we can read is that user's to protect. systemd makes credentials 0400 or, since version 253, 0440.
 */
export function isExposed(stats: Pick<Stats, 'uid' | 'mode'>, uid: number | undefined, credential: boolean): boolean {
  if (stats.uid !== uid) return false;
  return (stats.mode & (credential ? 0o037 : 0o077)) !== 0;
}

/** Whether systemd created the file for this service (LoadCredential= in systemd.exec(5)). */
function isCredential(path: string, directory: string | undefined): boolean {
  return directory !== undefined && directory !== '' && resolve(path).startsWith(resolve(directory) + sep);
}

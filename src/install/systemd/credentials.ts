import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { copyName } from '../../connection/auth/systemd-credential.ts';
import { ETC, UNIT_FILE } from './service-paths.ts';

/**
 * Files in the service's configuration directory that keep it from starting, as sentences. systemd loads the whole directory
 * (LoadCredential=); where it cannot load a single file, the service never starts, with no more than "status=243/CREDENTIALS" in the
 * journal. Hidden files, links and empty directories do no harm.
 */
export async function credentialProblems(directory: string): Promise<readonly string[]> {
  const problems: string[] = [];
  const sizes: { readonly path: string; readonly size: number }[] = [];
  for (const { path, entry } of await credentialFiles(directory)) {
    const name = copyName(path, directory) ?? '';
    if (entry.isSocket()) problems.push(`${path} is a socket: ${ADVICE}`);
    else if (!NAMES.test(name))
      problems.push(`the name of ${quoted(path)} has a colon, or a character that is not ASCII: ${ADVICE}`);
    else if (name.length > LONGEST_NAME) problems.push(`the name of ${path} is too long: ${ADVICE}`);
    else {
      const { size } = await lstat(path).catch(() => ({ size: 0 }));
      sizes.push({ path, size: Math.ceil(size / PAGE) * PAGE });
    }
  }
  const sum = sizes.reduce((total, { size }) => total + size, 0);
  const [largest] = sizes.toSorted((a, b) => b.size - a.size);
  if (sum > MOST && largest !== undefined)
    problems.push(`${directory} holds more than 1 MiB, and ${largest.path} is the largest file: ${ADVICE}`);
  return problems;
}

const ADVICE = 'systemd cannot load it as a credential, and the service would not start again: move it away';

/** fdname_is_valid() in systemd. */
const NAMES = /^[ -9;-~]*$/;
const LONGEST_NAME = 255;

/** systemd keeps the copies in a file system of 1 MiB, and needs some of it itself. */
const MOST = 1024 * 1024 - 32 * 1024;
const PAGE = 4096;

/** Whether this is the configuration of a service whose unit loads its directory as credentials. */
export async function loadsCredentials(configFile: string): Promise<boolean> {
  if (dirname(resolve(configFile)) !== ETC) return false;
  for (const unit of [UNIT_FILE, '/usr/lib/systemd/system/tunnel.service', '/lib/systemd/system/tunnel.service']) {
    const text = await readFile(unit, 'utf8').catch(() => null);
    if (text !== null) return text.includes(`\nLoadCredential=etc:${ETC}\n`);
  }
  return false;
}

interface CredentialFile {
  readonly path: string;
  readonly entry: Dirent;
}

/** The files and sockets that systemd finds below a directory. Directories that may not be read are left out. */
export async function credentialFiles(directory: string): Promise<readonly CredentialFile[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const found: CredentialFile[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) found.push(...(await credentialFiles(path)));
    else if (entry.isFile() || entry.isSocket()) found.push({ path, entry });
  }
  return found;
}

/** With escapes, because the name is what is wrong. */
function quoted(path: string): string {
  return JSON.stringify(path);
}

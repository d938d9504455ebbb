import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { copyName } from '../../connection/auth/systemd-credential.ts';
import { ETC, UNIT_FILE } from './service-paths.ts';

/**
 * What in the service's configuration directory keeps it from starting, as sentences. systemd reads the whole directory for it
 * (LoadCredential=), and where it does not like one single file there, it starts nothing, for ever, with nothing but
 * "status=243/CREDENTIALS" in the journal. Hidden files, links and empty directories do no harm.
 */
export async function credentialProblems(directory: string): Promise<readonly string[]> {
  const problems: string[] = [];
  const sizes: { readonly path: string; readonly size: number }[] = [];
  for (const { path, entry } of await credentialFiles(directory)) {
    const name = copyName(path, directory) ?? '';
    if (entry.isSocket()) problems.push(`${path} is a socket: ${CURE}`);
    else if (!NAMES.test(name))
      problems.push(`the name of ${printed(path)} is not plain ASCII without colons: ${CURE}`);
    else if (name.length > LONGEST_NAME) problems.push(`the name of ${path} is too long: ${CURE}`);
    else sizes.push({ path, size: Math.ceil((await sizeOf(path)) / PAGE) * PAGE });
  }
  const sum = sizes.reduce((total, { size }) => total + size, 0);
  const [largest] = sizes.toSorted((a, b) => b.size - a.size);
  if (sum > MOST && largest !== undefined)
    problems.push(`there is more than 1 MiB in ${directory}, of which ${largest.path} is the largest file: ${CURE}`);
  return problems;
}

const CURE = 'systemd cannot hand it to the service, which would not start again: move it away';

/** fdname_is_valid() in systemd. */
const NAMES = /^[ -9;-~]*$/;
const LONGEST_NAME = 255;

/** systemd keeps the copies in a file system of 1 MiB; the rest is for what else it puts there. */
const MOST = 1024 * 1024 - 32 * 1024;
const PAGE = 4096;

/** Whether this configuration is that of a service whose unit has systemd read its directory. */
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

/** Files and sockets as systemd finds them. What this user may not look into is left out: it is root who installs. */
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

async function sizeOf(path: string): Promise<number> {
  return await lstat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** In quotes, with escapes: the name itself is what is wrong. */
function printed(path: string): string {
  return JSON.stringify(path);
}

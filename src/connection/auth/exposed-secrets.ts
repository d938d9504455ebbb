import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { readAtMost, withFile, type OpenFile } from '../../lib/files/open-file.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { inspectKeyFile } from './key-file.ts';

/** A key or another secret that not its owner alone may use. */
interface ExposedSecret {
  readonly path: string;
  /** What is wrong, as a sentence. */
  readonly text: string;
}

/** The keys and files of passwords of these tunnels that others may use, as far as this user may judge them. */
export async function exposedSecrets(tunnels: readonly TunnelSpec[]): Promise<readonly ExposedSecret[]> {
  const servers = tunnels.flatMap((tunnel) => [tunnel, ...tunnel.jumps]);
  const paths = servers.flatMap(({ identityFiles, passphraseFile, passwordFile }) => [
    ...identityFiles,
    passphraseFile,
    passwordFile,
  ]);
  const proxies = tunnels.map(({ entry }) => ('passwordFile' in entry ? entry.passwordFile : null));
  const exposed: ExposedSecret[] = [];
  for (const path of new Set([...paths, ...proxies])) {
    const found = path === null ? null : await statsOf(path);
    if (path === null || found === null) continue;
    const mode = found.mode & 0o777;
    // The group of somebody else's file may be that of the service.
    if ((mode & (isMine(found) ? 0o077 : 0o007)) === 0 || (await isPublicKey(path))) continue;
    const text = `${path} has mode ${mode.toString(8).padStart(4, '0')}, so that others can use it`;
    exposed.push({ path, text });
  }
  return exposed;
}

/** Of a file that this user owns or, as root, may change; else null. */
export async function modeOf(path: string): Promise<number | null> {
  const stats = await statsOf(path);
  return stats !== null && isMine(stats) ? stats.mode & 0o777 : null;
}

/** Null also for what is no file: somebody's ~/.ssh or /dev/null, named in the place of a key, would be of no use with mode 0600. */
async function statsOf(path: string): Promise<Stats | null> {
  const stats = await stat(path).catch(() => null);
  return stats?.isFile() === true ? stats : null;
}

function isMine({ uid }: Stats): boolean {
  return uid === process.getuid?.() || process.getuid?.() === 0;
}

/** One that is named by mistake is no secret, and the login says so. */
async function isPublicKey(path: string): Promise<boolean> {
  const isPublic = async ({ handle }: OpenFile) =>
    inspectKeyFile(await readAtMost(handle, MAX_PUBLIC_KEY_BYTES)).kind === 'public';
  return await withFile(path, isPublic).catch(() => false);
}

const MAX_PUBLIC_KEY_BYTES = 16 * 1024;

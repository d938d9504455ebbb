import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { readAtMost, withFile, type OpenFile } from '../../lib/files/open-file.ts';
import type { ServerSpec, TunnelSpec } from '../../model/spec.ts';
import { inspectKeyFile } from './key-file.ts';

/** A key or another secret that other users may read. */
interface ExposedSecret {
  readonly path: string;
  /** The problem, as a sentence. */
  readonly text: string;
}

/** Finds the keys and password files of these tunnels that other users may read, as far as this user may judge them. */
export async function exposedSecrets(tunnels: readonly TunnelSpec[]): Promise<readonly ExposedSecret[]> {
  const exposed: ExposedSecret[] = [];
  for (const path of secretFiles(tunnels)) {
    const found = await statsOf(path);
    if (found === null) continue;
    const mode = found.mode & 0o777;
    // The group of another user's file may be the service's.
    if ((mode & (isMine(found) ? 0o077 : 0o007)) === 0 || (await isPublicKey(path))) continue;
    const text = `${path} has mode ${mode.toString(8).padStart(4, '0')}, so that others can use it`;
    exposed.push({ path, text });
  }
  return exposed;
}

/** The keys, by default all, and the files with other secrets that these tunnels name, each once. */
export function secretFiles(
  tunnels: readonly TunnelSpec[],
  keysOf: (server: ServerSpec) => readonly string[] = ({ identityFiles }) => identityFiles,
): readonly string[] {
  const servers = tunnels.flatMap((tunnel): readonly ServerSpec[] => [tunnel, ...tunnel.jumps]);
  const paths = servers.flatMap((server) => [...keysOf(server), server.passphraseFile, server.passwordFile]);
  const proxies = tunnels.map(({ entry }) => ('passwordFile' in entry ? entry.passwordFile : null));
  return [...new Set([...paths, ...proxies])].filter((path) => path !== null);
}

/** The mode of a file that this user owns or, as root, may change; else null. */
export async function modeOf(path: string): Promise<number | null> {
  const stats = await statsOf(path);
  return stats !== null && isMine(stats) ? stats.mode & 0o777 : null;
}

/**
 * Null also for anything but a file: mode 0600 would break a ~/.ssh or /dev/null that is configured in place of a key.
 */
async function statsOf(path: string): Promise<Stats | null> {
  const stats = await stat(path).catch(() => null);
  return stats?.isFile() === true ? stats : null;
}

function isMine({ uid }: Stats): boolean {
  return uid === process.getuid?.() || process.getuid?.() === 0;
}

/** A public key that is configured by mistake is no secret, and the login reports it. */
async function isPublicKey(path: string): Promise<boolean> {
  const isPublic = async ({ handle }: OpenFile) =>
    inspectKeyFile(await readAtMost(handle, MAX_PUBLIC_KEY_BYTES)).kind === 'public';
  return await withFile(path, isPublic).catch(() => false);
}

const MAX_PUBLIC_KEY_BYTES = 16 * 1024;

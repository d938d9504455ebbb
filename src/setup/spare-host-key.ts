import { checkHostKey, type HostQuery, knownHostsLine } from '../connection/known-hosts/check-host-key.ts';
import { appendKnownHosts, loadKnownHosts } from '../connection/known-hosts/file.ts';
import { SPARE_COMMENT } from '../connection/known-hosts/parse.ts';
import { SPARE_LINE, spareKeyIn } from './script/spare-host-key.ts';

/** The key that a script for the server printed; null where it printed none. */
export function readSpare(lines: readonly string[]): Buffer | null {
  const line = lines.find((one) => one.startsWith(SPARE_LINE)) ?? '';
  return spareKeyIn(line.slice(SPARE_LINE.length).trim());
}

/**
 * Makes the spare key of a server known, which the server does not show yet: a login does not forget it (updateHostKeys) as it does keys
 * that are gone. Resolves with whether it was not known.
 */
export async function pinSpare(file: string, query: HostQuery, key: Buffer): Promise<boolean> {
  if (await isPinned(file, query, key)) return false;
  await appendKnownHosts(file, [`${knownHostsLine(query, key)} ${SPARE_COMMENT}`]);
  return true;
}

/** Whether this key of the server is known; in use, it is a key like any other. */
export async function isPinned(file: string, query: HostQuery, key: Buffer): Promise<boolean> {
  const { entries } = await loadKnownHosts([file]);
  return checkHostKey(entries, { ...query, withoutPort: null }, key).type === 'known';
}

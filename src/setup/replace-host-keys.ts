import { chown, lstat, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { checkRootsWay } from '../lib/files/place-owner.ts';
import { isAboutOnly } from '../connection/known-hosts/edit.ts';
import { appendKnownHosts, rewriteKnownHosts } from '../connection/known-hosts/file.ts';
import { type HostQuery, knownHostsLine } from '../connection/known-hosts/check.ts';
import { createFile } from '../lib/files/create-file.ts';

/**
 * Makes these the known keys of a host in a known_hosts file: lines about this host alone with other keys go, unless the server
 * shows that key too. The file keeps its owner and mode; what root makes or finds as its own in a folder of a service's user belongs
 * to that user, who is to read it.
 */
export async function replaceHostKeys(
  file: string,
  query: HostQuery,
  trusted: readonly Buffer[],
  shown: readonly Buffer[],
): Promise<void> {
  const lines = trusted.map((key) => knownHostsLine(query, key));
  checkRootsWay(file);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const exists = await stat(file).then(
    () => true,
    () => false,
  );
  if (!exists) await createFile(file, '', 0o600);
  const kept = [...trusted, ...shown];
  await rewriteKnownHosts(file, {
    add: [],
    remove: ({ marker, hosts, key }) =>
      marker === 'none' && isAboutOnly(hosts, query.name) && !kept.some((one) => one.equals(key)),
  });
  await appendKnownHosts(file, lines);
  await giveToFolder(file);
}

/** `sudo ssh-keygen -R` leaves a file of root's that the service can no longer read. */
async function giveToFolder(file: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(dirname(file));
  const own = await lstat(file);
  if (uid !== 0 && own.uid === 0 && own.isFile() && own.nlink === 1) await chown(file, uid, gid);
}

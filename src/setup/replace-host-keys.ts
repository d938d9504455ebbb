import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { checkForeignLinks } from '../lib/files/path-owner.ts';
import { isAboutOnly } from '../connection/known-hosts/edit.ts';
import { appendKnownHosts, rewriteKnownHosts } from '../connection/known-hosts/file.ts';
import { type HostQuery, knownHostsLine } from '../connection/known-hosts/check.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { inDirectory } from '../lib/files/open-directory.ts';
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
  checkForeignLinks(file);
  makeDirectory(dirname(file));
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
  await inDirectory(dirname(file), async (folder) => {
    const { uid, gid } = folder.owner();
    if (uid === 0) return;
    const handle = await open(folder.at(basename(file)), FLAGS);
    try {
      const own = await handle.stat();
      if (own.uid === 0 && own.isFile() && own.nlink === 1) await handle.chown(uid, gid);
    } finally {
      await handle.close();
    }
  });
}

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

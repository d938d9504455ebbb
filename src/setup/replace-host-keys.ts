import { constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { checkForeignLinks } from '../lib/files/path-owner.ts';
import { isAboutOnly } from '../connection/known-hosts/edit.ts';
import { appendKnownHosts, rewriteKnownHosts } from '../connection/known-hosts/file.ts';
import { type HostQuery, knownHostsLine } from '../connection/known-hosts/check-host-key.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { inDirectory } from '../lib/files/open-directory.ts';
import { createFile } from '../lib/files/create-file.ts';
import { succeeds } from '../lib/async/succeeds.ts';
import { withFile, type OpenFile } from '../lib/files/open-file.ts';

/**
 * Replaces the keys of a host in a known_hosts file with `trusted`. Lines about this host only are removed, unless their key is among
 * `shown`. The new ones are added first: a host without a key would be a new one, of which accept-new accepts any. The file keeps owner and
 * mode; one of root's in a directory of the service's user is given to that user, so that the service can read it.
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
  if (!(await succeeds(stat(file)))) await createFile(file, '', 0o600);
  await appendKnownHosts(file, lines);
  const kept = [...trusted, ...shown];
  await rewriteKnownHosts(file, {
    add: [],
    remove: ({ marker, hosts, key }) =>
      marker === 'none' && isAboutOnly(hosts, query.name) && !kept.some((one) => one.equals(key)),
  });
  await giveToFolder(file);
}

/** `sudo ssh-keygen -R` leaves a file that belongs to root, which the service cannot read. */
async function giveToFolder(file: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  await inDirectory(dirname(file), async (folder) => {
    const { uid, gid } = folder.owner();
    if (uid === 0) return;
    const give = async ({ handle, stats }: OpenFile) => {
      if (stats.uid === 0 && stats.isFile() && stats.nlink === 1) await handle.chown(uid, gid);
    };
    await withFile(folder.at(basename(file)), give, { flags: constants.O_NOFOLLOW, knownAs: file });
  });
}

import { constants, type Stats } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { checkForeignLinks } from '../lib/files/path-owner.ts';
import type { ServerSpec } from '../model/spec.ts';
import { succeeds } from '../lib/async/succeeds.ts';
import { withFile, type OpenFile } from '../lib/files/open-file.ts';

/** The account that the daemon runs as, where that is not the caller's own. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** A known_hosts file that the account which has to use it cannot use. */
export interface AccessProblem {
  readonly file: string;
  readonly result: 'fail' | 'warn';
  readonly text: string;
  readonly cure: string;
}

/**
 * Finds known_hosts files that the daemon cannot read, so that every host is unknown, or cannot write though it keeps keys that it
 * learns there. `sudo ssh-keygen -R` leaves such a file: root's, with mode 0600. A missing file is not a problem. The account is null
 * where it is the caller's; for an unknown account no cure could take the file away from it.
 */
export async function knownHostsProblems(
  servers: readonly ServerSpec[],
  account: Account | 'unknown' | null,
): Promise<readonly AccessProblem[]> {
  const problems: AccessProblem[] = [];
  const who = account === null || account === 'unknown' ? 'this user' : `the daemon (user ${account.name})`;
  const files = new Set(servers.flatMap(({ userKnownHostsFiles }) => userKnownHostsFiles));
  for (const file of files) {
    const stats = await stat(file).catch(() => null);
    if (stats === null || !stats.isFile()) continue;
    if (account === 'unknown') {
      const text = `${file} cannot be read by this user; whether the daemon can read it is not known`;
      if (!(await succeeds(access(file, constants.R_OK))))
        problems.push({ file, result: 'warn', text, cure: 'sudo tunneld doctor' });
      continue;
    }
    const cure =
      account === null
        ? `sudo chown "$(id -un)" ${file}   (where tunneld runs as this user; else sudo tunneld doctor)`
        : `sudo chown ${account.name}: ${file}`;
    const may = async (mode: number) =>
      account === null ? await succeeds(access(file, mode)) : mayAccount(stats, mode, account);
    const add = (result: AccessProblem['result'], text: string) => problems.push({ file, result, text, cure });
    if (!(await may(constants.R_OK))) add('fail', `${file} cannot be read by ${who}: every host is unknown`);
    else if (servers.some((server) => isWritten(server, file)) && !(await may(constants.W_OK)))
      add('warn', `${file} cannot be written by ${who}: new host keys are not kept`);
  }
  return problems;
}

/** Gives the file to the account. Root follows no link that another user could have made to a file of the system. */
export async function giveFile(file: string, { uid, gid }: Account): Promise<void> {
  checkForeignLinks(file);
  const folder = await stat(dirname(file));
  const give = async ({ handle, stats }: OpenFile) => {
    if (!stats.isFile() || stats.nlink > 1)
      throw new Error('it has another name elsewhere (a hard link), or is not a regular file');
    await handle.chown(uid, gid);
  };
  await withFile(file, give, { flags: folder.uid !== 0 ? constants.O_NOFOLLOW : 0 });
}

function isWritten({ userKnownHostsFiles: [first], updateHostKeys, strictHostKeyChecking }: ServerSpec, file: string) {
  return first === file && (updateHostKeys || strictHostKeyChecking === 'accept-new');
}

/** By the permission bits (path_resolution(7)); `mode` is R_OK or W_OK, which equal the bits of "others". */
function mayAccount({ uid, gid, mode: bits }: Stats, mode: number, account: Account): boolean {
  const shift = account.uid === uid ? 6 : account.gid === gid ? 3 : 0;
  return ((bits >> shift) & mode) !== 0;
}

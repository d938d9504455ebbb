import { constants, type Stats } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { inDirectory } from './open-directory.ts';
import { writeAtomically, writeAtomicallyIn } from './write-atomically.ts';
import { withFile } from './open-file.ts';

/** Replaces the text of an existing file atomically, keeping its owner, its mode and a link to it. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const file = await realpath(path);
  await inDirectory(dirname(file), async (directory) => {
    const options = { flags: constants.O_NOFOLLOW, knownAs: path };
    const { uid, gid, mode } = await withFile(directory.at(basename(file)), ({ stats }) => stats, options);
    await writeAtomicallyIn(directory, basename(file), text, { mode: mode & 0o7777, owner: { uid, gid } });
  });
}

/** Writes a file atomically, with this owner and mode. A link at its path is replaced, not followed. */
export async function writeAnew(
  path: string,
  text: string,
  { uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>,
): Promise<void> {
  await writeAtomically(path, text, { mode: mode & 0o7777, owner: { uid, gid } });
}

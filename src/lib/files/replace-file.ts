import { constants, type Stats } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { inDirectory } from './open-directory.ts';
import { checkOpened } from './path-owner.ts';
import { writeAtomically, writeAtomicallyIn } from './write-atomically.ts';

/** Puts another text into an existing file at once, keeping its owner, its mode and a link to it; `check` may refuse by rejecting. */
export async function replaceFile(
  path: string,
  text: string,
  check: (text: string) => Promise<unknown>,
): Promise<void> {
  await check(text);
  const file = await realpath(path);
  await inDirectory(dirname(file), async (directory) => {
    const handle = await open(directory.at(basename(file)), FLAGS);
    let stats: Stats;
    try {
      stats = await handle.stat();
      checkOpened(path, handle.fd, stats);
    } finally {
      await handle.close();
    }
    const { uid, gid, mode } = stats;
    await writeAtomicallyIn(directory, basename(file), text, { mode: mode & 0o7777, owner: { uid, gid } });
  });
}

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Writes a file whole and flushed, with this owner and mode. A link that lies there is replaced, not followed. */
export async function writeAnew(
  path: string,
  text: string,
  { uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>,
): Promise<void> {
  await writeAtomically(path, text, { mode: mode & 0o7777, owner: { uid, gid } });
}

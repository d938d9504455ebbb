import type { Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { writeWhole } from './whole-file.ts';

/** Puts another text into an existing file at once, keeping its owner, its mode and a link to it; `check` may refuse by rejecting. */
export async function replaceFile(
  path: string,
  text: string,
  check: (text: string) => Promise<unknown>,
): Promise<void> {
  await check(text);
  const file = await realpath(path);
  await writeAnew(file, text, await stat(file));
}

/** Writes a file whole and flushed, with this owner and mode. A link that lies there is replaced, not followed. */
export async function writeAnew(
  path: string,
  text: string,
  { uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>,
): Promise<void> {
  await writeWhole(path, text, { mode: mode & 0o7777, owner: { uid, gid } });
}

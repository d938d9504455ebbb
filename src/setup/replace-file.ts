import { chmod, chown, realpath, rename, stat, unlink, writeFile } from 'node:fs/promises';

/** Puts another text into an existing file at once, keeping its owner, its mode and a link to it; `check` may refuse by rejecting. */
export async function replaceFile(
  path: string,
  text: string,
  check: (text: string) => Promise<unknown>,
): Promise<void> {
  await check(text);
  const file = await realpath(path);
  const { uid, gid, mode } = await stat(file);
  const aside = `${file}.new`;
  await unlink(aside).catch(() => {});
  try {
    await writeFile(aside, text, { mode: 0o600, flag: 'wx' });
    await chown(aside, uid, gid);
    await chmod(aside, mode & 0o7777);
    await rename(aside, file);
  } catch (error) {
    await unlink(aside).catch(() => {});
    throw error;
  }
}

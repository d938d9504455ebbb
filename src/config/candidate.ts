import { createHash, randomBytes } from 'node:crypto';
import { readdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { candidatePath } from './input/paths.ts';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { readText } from '../lib/files/read-file.ts';
import { replaceFile, writeAnew } from '../lib/files/replace-file.ts';
import { UserError } from '../lib/user-error.ts';

/** Writes a configuration beside the file, for the daemon to try it out. Resolves with its name. `inUse` is the name of one on trial. */
export async function createCandidate(file: string, text: string, inUse: string | null): Promise<string> {
  await checkDirectory(file);
  await removeStale(file, inUse);
  const name = `${randomBytes(8).toString('hex')}${digest(text)}`;
  const { uid, gid, mode } = await stat(file);
  await writeAnew(candidatePath(file, name), text, { uid, gid, mode: mode & 0o777 });
  return name;
}

/**
 * Replaces the file with a candidate, and keeps the file as FILE.previous; the result puts it back. Rejects where the candidate was changed
 * since, because that was not tried out.
 */
export async function installCandidate(file: string, name: string): Promise<() => Promise<void>> {
  if (!/^[a-z0-9]{1,40}$/.test(name)) throw new UserError(`${JSON.stringify(name)} is not the name of a candidate`);
  await checkDirectory(file);
  const path = candidatePath(file, name);
  const text = await readText(path);
  if (!name.endsWith(digest(text)))
    throw new UserError(`${path} was changed since it was applied: run \`tunneld apply\` again`);
  const before = await readText(file);
  await writeAnew(`${file}.previous`, before, await stat(file));
  await replaceFile(file, text);
  return () => replaceFile(file, before);
}

/**
 * Checks where root writes. The path comes from the daemon, which may belong to another user or be compromised: the directory has to
 * be writable by root only, and the file to be a configuration.
 */
async function checkDirectory(file: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, mode } = await stat(dirname(file));
  if (uid !== 0 || (mode & 0o022) !== 0)
    throw new UserError(`${dirname(file)} is writable by others than root: run this as the user of the daemon`);
  checkRootMayWrite(file);
  const text = await readText(file);
  if (text.trim() !== '' && !/^\s*["']?tunnels\b/m.test(text))
    throw new UserError(
      `${file}, the file that the daemon reports, is not a configuration of tunneld: check which daemon answers (\`tunneld status\`)`,
    );
}

export async function removeCandidate(file: string, name: string): Promise<void> {
  // One that stays is removed at the next start.
  await unlink(candidatePath(file, name)).catch(() => {});
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

/** Removes candidates of earlier calls that were killed or rolled back. */
async function removeStale(file: string, inUse: string | null): Promise<void> {
  const start = `${basename(file)}.`;
  for (const entry of await readdir(dirname(file))) {
    const [, name] = (entry.startsWith(start) && CANDIDATE.exec(entry.slice(start.length))) || [];
    const leftOver = entry.startsWith(`.${start}`) && LEFT_OVER.test(entry.slice(start.length + 1));
    if (leftOver || (name !== undefined && name !== inUse)) await unlink(join(dirname(file), entry)).catch(() => {});
  }
}

const CANDIDATE = /^([0-9a-f]{40})\.candidate$/;

/** A candidate whose writing was interrupted. */
const LEFT_OVER = /^[0-9a-f]{40}\.candidate\.\d+\.[0-9a-f]{12}\.new$/;

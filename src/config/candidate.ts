import { createHash, randomBytes } from 'node:crypto';
import { readdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { candidatePath } from './input/paths.ts';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { readText } from '../lib/files/read-file.ts';
import { replaceFile, writeAnew } from '../lib/files/replace-file.ts';
import { UserError } from '../lib/user-error.ts';

/** Lays a text beside a configuration file, for the daemon to try it out; answers its name. `inUse` is one that is on trial. */
export async function createCandidate(file: string, text: string, inUse: string | null): Promise<string> {
  await checkDirectory(file);
  await removeStale(file, inUse);
  const name = `${randomBytes(8).toString('hex')}${digest(text)}`;
  const { uid, gid, mode } = await stat(file);
  await writeAnew(candidatePath(file, name), text, { uid, gid, mode: mode & 0o777 });
  return name;
}

export interface InstalledCandidate {
  revert(): Promise<void>;
}

/**
 * Puts it in the place of the file, which is kept as FILE.previous. Rejects where it is something else by now than what was laid
 * there, for that nobody has tried out.
 */
export async function installCandidate(file: string, name: string): Promise<InstalledCandidate> {
  if (!/^[a-z0-9]{1,40}$/.test(name)) throw new UserError(`${JSON.stringify(name)} is no name of a candidate`);
  await checkDirectory(file);
  const path = candidatePath(file, name);
  const text = await readText(path);
  if (!name.endsWith(digest(text))) throw new UserError(`${path} was changed since it was applied: apply it again`);
  const before = await readText(file);
  await writeAnew(`${file}.previous`, before, await stat(file));
  await replaceFile(file, text, () => Promise.resolve());
  return { revert: () => replaceFile(file, before, () => Promise.resolve()) };
}

/**
 * Where the file is, the daemon says, which may be another user's, or in somebody's hands: root writes only where nobody else could
 * have put links, and over nothing but a configuration.
 */
async function checkDirectory(file: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, mode } = await stat(dirname(file));
  if (uid !== 0 || (mode & 0o022) !== 0)
    throw new UserError(`${dirname(file)} is not root's alone: do this as the user whose daemon it is`);
  checkRootMayWrite(file);
  const text = await readText(file);
  if (text.trim() !== '' && !/^\s*["']?tunnels\b/m.test(text))
    throw new UserError(`${file}, on which the daemon says it runs, is no configuration of tunneld`);
}

export async function removeCandidate(file: string, name: string): Promise<void> {
  await unlink(candidatePath(file, name)).catch(() => {});
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

/** Those that earlier calls left behind because they were killed, or that went back. */
async function removeStale(file: string, inUse: string | null): Promise<void> {
  const start = `${basename(file)}.`;
  for (const entry of await readdir(dirname(file))) {
    const [, name] = (entry.startsWith(start) && CANDIDATE.exec(entry.slice(start.length))) || [];
    const leftOver = entry.startsWith(`.${start}`) && LEFT_OVER.test(entry.slice(start.length + 1));
    if (leftOver || (name !== undefined && name !== inUse)) await unlink(join(dirname(file), entry)).catch(() => {});
  }
}

const CANDIDATE = /^([0-9a-f]{40})\.candidate$/;

/** One that was being written. */
const LEFT_OVER = /^[0-9a-f]{40}\.candidate\.\d+\.[0-9a-f]{12}\.new$/;

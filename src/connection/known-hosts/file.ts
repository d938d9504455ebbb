import { createQueue } from '../../lib/async/queue.ts';
import { constants } from 'node:fs';
import { mkdir, open, realpath, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { inDirectory, type OpenDirectory } from '../../lib/files/open-directory.ts';
import { checkOpened, checkForeignLinks } from '../../lib/files/path-owner.ts';
import { readAtMost, type OpenFile, withFile } from '../../lib/files/open-file.ts';
import { inSlices } from '../../lib/async/slices.ts';
import { errorCode, errorText, printable } from '../../lib/text.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { UserError } from '../../lib/user-error.ts';
import { writeAtomicallyIn } from '../../lib/files/write-atomically.ts';
import { editKnownHosts, missingLines, type KnownHostsEdit } from './edit.ts';
import { readKnownHosts, type KnownHosts } from './parse.ts';

/**
 * Reads several known_hosts files into one list, in their order. A missing file is an empty one; an unreadable one is a
 * problem of line 0, after which a host that seems unknown may be known all the same.
 */
export async function loadKnownHosts(files: readonly string[]): Promise<KnownHosts> {
  const loaded = await Promise.all(files.map(loadFile));
  return {
    entries: loaded.flatMap((one) => one.entries),
    problems: loaded.flatMap((one) => one.problems),
  };
}

async function loadFile(file: string): Promise<KnownHosts> {
  try {
    const { text, cut } = await withFile(file, readOpenFile);
    const { entries, problems } = await inSlices(readKnownHosts(text, file));
    // The part before the limit still counts: a file that grew too large must not make every host unknown.
    return cut ? { entries, problems: [...problems, { file, line: 0, message: TOO_LARGE }] } : { entries, problems };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { entries: [], problems: [] };
    const cure =
      errorCode(error) === 'EACCES'
        ? '`sudo tunneld doctor --fix` gives it to the user of the daemon'
        : 'check userKnownHostsFile and globalKnownHostsFile';
    const message = `cannot be read: ${printable(errorText(error))}; ${cure}`;
    return { entries: [], problems: [{ file, line: 0, message }] };
  }
}

interface ReadText {
  readonly text: string;
  /** Whether the file is longer than this. */
  readonly cut: boolean;
}

/**
 * Appends the lines that the file does not have yet. Creates it (mode 0600) and its directory (0700) where they are
 * missing, and follows symbolic links, as ssh does. The lines are on disk when the promise is fulfilled.
 */
export async function appendKnownHosts(file: string, lines: readonly string[]): Promise<void> {
  await oneAtATime(() => append(file, lines));
}

/**
 * Edits an existing file: it is replaced atomically, keeping its owner and mode. Resolves with false where the file
 * does not exist or would not change.
 */
export async function rewriteKnownHosts(file: string, edit: KnownHostsEdit): Promise<boolean> {
  return await oneAtATime(() => rewrite(file, edit));
}

/** Writes of this process run one after another: otherwise two tunnels to one new server would both add its key. */
const oneAtATime = createQueue();

async function rewrite(file: string, edit: KnownHostsEdit): Promise<boolean> {
  try {
    const path = (await isOfAnotherUser(dirname(file))) ? file : await realpath(file);
    return await inDirectory(dirname(path), (directory) => rewriteIn(directory, path, edit));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    const message = `cannot change ${file}: ${errorText(error)}; check that the user of tunneld may write to it and its directory`;
    throw withCode(message, error);
  }
}

async function rewriteIn(directory: OpenDirectory, path: string, edit: KnownHostsEdit): Promise<boolean> {
  const name = basename(path);
  const { text, stats } = await withFile(
    directory.at(name),
    async (file) => ({ stats: file.stats, text: file.stats.isFile() ? whole(await readOpenFile(file)) : null }),
    { flags: constants.O_NOFOLLOW, knownAs: path },
  );
  if (text === null) return false;
  const edited = await inSlices(editKnownHosts(text, edit));
  if (edited === text) return false;
  const { uid, gid, mode } = stats;
  const owner = process.getuid?.() === 0 ? { uid, gid } : null;
  await writeAtomicallyIn(directory, name, edited, { mode: mode & 0o777, owner });
  return true;
}

/** The code stays that of the system. */
function withCode(message: string, cause: unknown): UserError {
  return Object.assign(new UserError(message, EXIT.failed, { cause }), { code: errorCode(cause) });
}

async function append(file: string, lines: readonly string[]): Promise<void> {
  try {
    const handle = await openForAppending(file);
    try {
      const stats = await handle.stat();
      // /dev/null, a common target of links, holds no secret.
      if (stats.isFile()) checkOpened(file, handle.fd, stats);
      await appendTo({ handle, stats }, lines);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const message = `cannot add a host key to ${file}: ${errorText(error)}; check that its directory exists and that the user of tunneld may write to it`;
    throw withCode(message, error);
  }
}

async function openForAppending(file: string): Promise<FileHandle> {
  const flags =
    constants.O_RDWR |
    constants.O_APPEND |
    constants.O_CREAT |
    constants.O_NONBLOCK |
    ((await isOfAnotherUser(dirname(file))) ? constants.O_NOFOLLOW : 0);
  // In the directory that was checked: a link swapped in meanwhile would make root create a file elsewhere.
  const openIt = () => inDirectory(dirname(file), (folder) => open(folder.at(basename(file)), flags, 0o600));
  try {
    return await openIt();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    await makeFolder(dirname(file));
    return await openIt();
  }
}

/** A link of a service's user must not lead root to write into a file of the system. */
async function isOfAnotherUser(folder: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  checkForeignLinks(join(folder, 'known_hosts'));
  const stats = await stat(folder).catch(() => null);
  return stats !== null && stats.uid !== 0;
}

/** Creates only the last directory (`~/.ssh`): a missing home is a fault that must not be hidden. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await inDirectory(dirname(folder), (home) => mkdir(home.at(basename(folder)), 0o700));
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

async function appendTo(file: OpenFile, lines: readonly string[]): Promise<void> {
  const { handle, stats } = file;
  const text = whole(await readOpenFile(file));
  const missing = await inSlices(missingLines(text, lines));
  if (missing === '') return;
  await handle.appendFile(missing);
  // A device such as /dev/null cannot be synchronised.
  if (stats.isFile()) await handle.sync();
}

async function readOpenFile({ handle, stats }: OpenFile): Promise<ReadText> {
  // A link to /dev/null is the common way to disable known_hosts.
  if (stats.isCharacterDevice()) return { text: '', cut: false };
  if (!stats.isFile()) throw new Error(stats.isDirectory() ? 'it is a directory' : 'it is not a file');
  const bytes = await readAtMost(handle, Math.min(stats.size, MAX_BYTES));
  const cut = stats.size > MAX_BYTES;
  // The last line may be cut.
  return { text: (cut ? bytes.subarray(0, bytes.lastIndexOf('\n') + 1) : bytes).toString('utf8'), cut };
}

/** A file that was not read to its end is never rewritten. */
function whole({ text, cut }: ReadText): string {
  if (cut) throw new Error(`it ${TOO_LARGE}`);
  return text;
}

/** 4 MiB is tens of thousands of hosts; more is a mistake that would cost a small device its memory. */
const MAX_BYTES = 4 * 1024 * 1024;
const TOO_LARGE = 'is larger than 4 MiB: the rest is not read; remove lines that are not needed';

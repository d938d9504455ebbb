import { constants } from 'node:fs';
import { mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode, errorText, printable } from '../lib/text.ts';
import { parseKnownHosts, type KnownHosts } from './known-hosts-parse.ts';

/**
 * Reads several known_hosts files into one list, in their order. A missing file is an empty one; one that cannot be read is a
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
    return parseKnownHosts(await readFile(file), file);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { entries: [], problems: [] };
    const message = `cannot be read: ${printable(errorText(error))}; check its permissions and userKnownHostsFile or globalKnownHostsFile`;
    return { entries: [], problems: [{ file, line: 0, message }] };
  }
}

async function readFile(file: string): Promise<string> {
  // A pipe without a writer would otherwise hold one of the few threads of Node for ever.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return await readOpenFile(handle);
  } finally {
    await handle.close();
  }
}

/**
 * Adds the lines that the file does not have yet. Creates it (mode 0600) and its folder (0700) where they are missing, and
 * follows symbolic links, as ssh does. The lines are on disk when the promise is fulfilled.
 */
export async function appendKnownHosts(file: string, lines: readonly string[]): Promise<void> {
  const turn = lastAppend.then(() => append(file, lines));
  lastAppend = turn.catch(() => {});
  return turn;
}

/** Appends of this process follow one another: two tunnels to one new server would otherwise both add its key. */
let lastAppend: Promise<void> = Promise.resolve();

async function append(file: string, lines: readonly string[]): Promise<void> {
  try {
    const handle = await openForAppending(file);
    try {
      await appendTo(handle, lines);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const message = `cannot add a host key to ${file}: ${errorText(error)}; check that its folder exists and that the user of tunneld may write it`;
    throw Object.assign(new Error(message, { cause: error }), { code: errorCode(error) });
  }
}

async function openForAppending(file: string): Promise<FileHandle> {
  const flags =
    constants.O_RDWR |
    constants.O_APPEND |
    constants.O_CREAT |
    constants.O_NONBLOCK |
    ((await isSomebodyElses(dirname(file))) ? constants.O_NOFOLLOW : 0);
  try {
    return await open(file, flags, 0o600);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    await makeFolder(dirname(file));
    return open(file, flags, 0o600);
  }
}

/** Root must not be led by a link of a service's user to write into a file of the system's. */
async function isSomebodyElses(folder: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  return await stat(folder).then(
    ({ uid }) => uid !== 0,
    () => false,
  );
}

/** Only the last folder (`~/.ssh`): without a home there is something wrong that must not be papered over. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, 0o700);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

async function appendTo(handle: FileHandle, lines: readonly string[]): Promise<void> {
  const text = await readOpenFile(handle);
  const present = new Set(text.split('\n').map((line) => line.trim()));
  const missing = [...new Set(lines)].filter((line) => !present.has(line));
  if (missing.length === 0) return;
  const separator = text === '' || text.endsWith('\n') ? '' : '\n';
  await handle.appendFile(`${separator}${missing.join('\n')}\n`);
  // A device such as /dev/null cannot be synchronised.
  if ((await handle.stat()).isFile()) await handle.sync();
}

async function readOpenFile(handle: FileHandle): Promise<string> {
  const stats = await handle.stat();
  // known_hosts as a link to /dev/null is the common way to have none.
  if (stats.isCharacterDevice()) return '';
  if (!stats.isFile()) throw new Error(stats.isDirectory() ? 'it is a directory' : 'it is not a file');
  if (stats.size > MAX_BYTES) throw new Error(`it has ${stats.size} bytes, more than the limit of ${MAX_BYTES}`);
  return handle.readFile('utf8');
}

/** 4 MiB is tens of thousands of hosts; more is a mistake that would cost a small device its memory. */
const MAX_BYTES = 4 * 1024 * 1024;

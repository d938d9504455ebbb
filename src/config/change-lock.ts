import { type FileHandle, realpath, rmdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { openLocked } from '../lib/files/flock.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { inDirectory } from '../lib/files/open-directory.ts';
import { readText } from '../lib/files/read-file.ts';
import { succeeds } from '../lib/async/succeeds.ts';
import { printable } from '../lib/text.ts';
import { UserError } from '../lib/user-error.ts';

/**
 * Does work that reads and changes a configuration, its keys and its tunnels, with no other such command at work on the same file: that is
 * a UserError which names the other's command and process; `command` is what the others are told, such as `rekey backup`. The lock is a
 * hidden file beside the configuration, gone with the work, and without effect once the process that made it has ended, however it did.
 * Where none can be made, nothing can be written there either, and the work goes on to say so.
 */
export async function changing<T>(file: string, command: string, work: () => Promise<T>): Promise<T> {
  const release = await takeLock(await realpath(file).catch(() => file), command);
  try {
    return await work();
  } finally {
    await release();
  }
}

async function takeLock(file: string, command: string): Promise<() => Promise<void>> {
  const path = join(dirname(file), `.${basename(file)}.lock`);
  const missing = await missingAbove(path);
  const handle = await openOwn(path).catch(() => 'missing' as const);
  if (handle === 'held') throw await isHeld(file, path);
  if (handle === 'missing') return () => removeEmpty(missing);
  // A disk may be full: then the other one is not named. By a second name, whoever has the folder could have another file overwritten.
  const isOnly = (await handle.stat()).nlink === 1;
  if (isOnly) await handle.truncate(0).catch(() => {});
  if (isOnly) await handle.write(`${process.pid} ${printable(command, MAX_COMMAND)}\n`, 0).catch(() => {});
  return async () => {
    await inDirectory(dirname(path), (directory) => unlink(directory.at(basename(path)))).catch(() => {});
    await handle.close();
    await removeEmpty(missing);
  };
}

/** The folders that do not exist yet, the innermost first: what is to be written there makes them, or they go with the lock. */
async function missingAbove(path: string): Promise<readonly string[]> {
  const missing: string[] = [];
  for (let at = dirname(path); dirname(at) !== at && !(await succeeds(stat(at))); at = dirname(at)) missing.push(at);
  return missing;
}

async function removeEmpty(directories: readonly string[]): Promise<void> {
  for (const directory of directories) if (!(await succeeds(rmdir(directory)))) return;
}

/** What was opened may have been removed by the process that had the lock: then it is none. */
async function openOwn(path: string): Promise<FileHandle | 'held' | 'missing'> {
  makeDirectory(dirname(path));
  return await inDirectory(dirname(path), async (directory) => {
    for (;;) {
      const locked = await openLocked(directory.at(basename(path)));
      if (typeof locked === 'string') return locked;
      const [ours, there] = await Promise.all([locked.stat(), stat(path).catch(() => null)]);
      if (ours.ino === there?.ino && ours.dev === there.dev) return locked;
      await locked.close();
    }
  });
}

const MAX_COMMAND = 100;

async function isHeld(file: string, path: string): Promise<UserError> {
  const [, pid, command = ''] = /^(\d+) (.*)\n$/.exec(await readText(path).catch(() => '')) ?? [];
  const who = pid === undefined ? '' : ` (tunneld ${printable(command, MAX_COMMAND)}, process ${pid})`;
  return new UserError(
    `another command${who} is changing ${file}, and nothing was done: wait until that ends, and run this again`,
  );
}
